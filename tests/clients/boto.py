"""URLs that Holdfast makes, used as programs with boto3 would: by requests, by urllib3, by botocore's own HTTP session,
and by curl; and botocore's signer beside ours. Prints a line for each check that held, and ends at the first that does
not."""

import datetime
import json
import os
import subprocess
import tempfile
from unittest import mock
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import boto3
import botocore.auth
import requests
import urllib3
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

SET_UP = json.loads(os.environ["HOLDFAST_CLIENTS"])
HOLDFAST, TOKEN, S3, EXPIRED = (SET_UP[name] for name in ("url", "token", "s3", "expired"))

# All parts but the last have this size at the least.
PART_BYTES = 5 * 1024 * 1024


def held(name):
    print(f"ok {name}", flush=True)


def with_requests(method, url, headers=None, body=b""):
    answer = requests.request(method, url, headers=headers, data=body, timeout=60)
    return answer.status_code, answer.content


def with_urllib3(method, url, headers=None, body=b""):
    answer = urllib3.request(method, url, headers=headers, body=body, timeout=60, retries=False)
    return answer.status, answer.data


def with_botocore(method, url, headers=None, body=b""):
    request = AWSRequest(method=method, url=url, headers=headers, data=body).prepare()
    answer = URLLib3Session(timeout=60).send(request)
    return answer.status_code, answer.content


def with_curl(method, url, headers=None, body=b""):
    # What curl would say by itself and nobody asked for.
    said = {"content-type": "", "expect": "", **(headers or {})}
    said.pop("content-length", None)
    lines = [f"{name}: {value}" if value else f"{name}:" for name, value in said.items()]
    with tempfile.NamedTemporaryFile() as answer:
        command = ["curl", "-sS", "-X", method, "-o", answer.name, "-w", "%{http_code}"]
        command += [word for line in lines for word in ("-H", line)]
        command += ["--data-binary", "@-"] if body else []
        status = subprocess.run([*command, url], input=body, capture_output=True, check=True).stdout
        return int(status), answer.read()


def api(method, address, body=None):
    """A call of our API, which is the caller's own business and no client's."""
    url = address if address.startswith("http") else HOLDFAST + address
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = requests.request(method, url, headers=headers, json=body, timeout=60)
    assert answer.ok, f"{method} {address}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def presign(**body):
    return api("POST", "/v1/presign", {"bucket": "documents", **body})


def forged(url):
    """The same URL with another last character, which is one of its signature."""
    return url[:-1] + ("1" if url[-1] == "0" else "0")


def refused(send, status, name, method, url, headers=None, body=b""):
    got, answer = send(method, url, headers, body)
    assert got == status, f"{name}: {got} {answer}"
    held(name)


def put_once(send, name, key, body):
    asked = {"method": "PUT", "size": len(body), "contentType": "application/x-noise"}
    put = presign(key=key, **asked)
    status, answer = send("PUT", put["url"], put["headers"], body)
    assert status == 200, answer
    refused(send, 412, f"{name}: a second PUT is refused", "PUT", put["url"], put["headers"], body)
    refused(send, 403, f"{name}: a forged PUT is refused", "PUT", forged(put["url"]), put["headers"], body)
    refused(send, 403, f"{name}: PUT is no DELETE", "DELETE", put["url"])
    done = send("POST", put["complete"])
    assert json.loads(done[1])["size"] == len(body), done
    assert send("POST", put["complete"]) == done
    held(f"{name}: a presigned PUT is completed")
    refused(send, 412, f"{name}: a PUT is not replayed", "PUT", put["url"], put["headers"], body)

    gone = presign(key=f"{key}-gone", **asked)
    assert send("PUT", gone["url"], gone["headers"], body)[0] == 200
    api("DELETE", f"/v1/presign/{gone['id']}")
    refused(send, 404, f"{name}: a revoked PUT is not completed", "POST", gone["complete"])


def get(send, name, key, body):
    through = presign(method="GET", key=key)
    direct = presign(method="GET", key=key, direct=True, download="für dich+(1).bin")
    for made in (through, direct):
        status, answer = send("GET", made["url"])
        assert status == 200 and answer == body, answer[:1000]
    held(f"{name}: GET through Holdfast and direct")
    for kind, url in (("signed", through["url"]), ("direct", direct["url"])):
        refused(send, 403, f"{name}: a forged {kind} URL is refused", "GET", forged(url))
        path, query = url.split("?")
        other = path[:-1] + ("2" if path[-1] == "1" else "1") + "?" + query
        refused(send, 403, f"{name}: a {kind} URL is of one object", "GET", other)
    refused(send, 405, f"{name}: a signed URL is no PUT", "PUT", through["url"], None, b"x")
    refused(send, 403, f"{name}: a direct URL is no DELETE", "DELETE", direct["url"])
    host = direct["url"].replace("127.0.0.1", "localhost")
    assert host != direct["url"]
    refused(send, 403, f"{name}: a direct URL is of one host", "GET", host)
    api("DELETE", f"/v1/presign/{through['id']}")
    refused(send, 403, f"{name}: a revoked URL is refused", "GET", through["url"])


def multipart(send, name, key):
    body = os.urandom(PART_BYTES + 9)
    asked = {"bucket": "documents", "key": key, "size": len(body), "partSize": PART_BYTES}
    begun = api("POST", "/v1/multipart", asked)
    parts = api("POST", f"{begun['url']}/sign", {"parts": [1, 2]})["parts"]
    chunks = [body[:PART_BYTES], body[PART_BYTES:]]
    for part, chunk in zip(parts, chunks):
        status, answer = send(part["method"], part["url"], part["headers"], chunk)
        assert status == 200, answer
    other = parts[0]["url"].replace("partNumber=1", "partNumber=2")
    assert other != parts[0]["url"]
    refused(send, 403, f"{name}: a part's URL is of one part", "PUT", other, parts[0]["headers"], chunks[0])
    assert api("POST", f"{begun['url']}/complete")["size"] == len(body)
    refused(send, 404, f"{name}: a part is not replayed", "PUT", parts[1]["url"], parts[1]["headers"], chunks[1])
    assert send("GET", presign(method="GET", key=key)["url"])[1] == body
    held(f"{name}: signed parts become the object")


def over(send, name):
    for kind, made in EXPIRED.items():
        body = b"hello" if made["method"] == "PUT" else b""
        refused(send, 403, f"{name}: an expired {kind} URL is refused", made["method"], made["url"], made["headers"], body)


def same_signature(name, method, url, headers):
    """What botocore's signer makes of the same request at the same time is our URL, letter by letter."""
    ours = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    bare = {key: value for key, value in ours.items() if not key.startswith("X-Amz-")}
    query = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in bare.items())
    request = AWSRequest(method=method, url=f"{url.split('?')[0]}?{query}".rstrip("?"), headers=headers)
    signer = botocore.auth.S3SigV4QueryAuth(
        Credentials(S3["accessKeyId"], S3["secretAccessKey"]), "s3", S3["region"], int(ours["X-Amz-Expires"])
    )
    then = datetime.datetime.strptime(ours["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
    with mock.patch("botocore.auth.get_current_datetime", lambda: then):
        signer.add_auth(request)
    theirs = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
    assert theirs == ours, f"{theirs}\n{ours}"
    held(f"{name}: botocore's signer makes the same URL")


def own_signer(key, body):
    """boto3 with our key reads by its own URL what ours reads."""
    url = presign(method="GET", key=key, direct=True)["url"]
    bucket, s3_key = unquote(urlsplit(url).path).lstrip("/").split("/", 1)
    client = boto3.client(
        "s3",
        endpoint_url=S3["endpoint"],
        region_name=S3["region"],
        aws_access_key_id=S3["accessKeyId"],
        aws_secret_access_key=S3["secretAccessKey"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    theirs = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": s3_key}, ExpiresIn=60)
    assert requests.get(theirs, timeout=60).content == body
    assert client.get_object(Bucket=bucket, Key=s3_key)["Body"].read() == body
    held("boto3: its own URL reads the same object")

    same_signature("GET", "GET", url, {})
    put = presign(method="PUT", key=f"{key}-signed", size=5, contentType="text/plain")
    same_signature("PUT", "PUT", put["url"], put["headers"])


BYTES = os.urandom(100_000)
for stack in (with_requests, with_urllib3, with_botocore, with_curl):
    short = stack.__name__.removeprefix("with_")
    place = f"clients/{short}/ü +&1.bin"
    put_once(stack, short, place, BYTES)
    get(stack, short, place, BYTES)
    multipart(stack, short, f"{place}-parts")
    over(stack, short)
own_signer("clients/requests/ü +&1.bin", BYTES)
