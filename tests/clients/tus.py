"""tuspy against Holdfast: chunks with checksums, resumption, asynchronously, by a bearer token and by an upload token in
the path. Prints a line for each check that held, and ends at the first that does not."""

import asyncio
import hashlib
import json
import os
import tempfile

import requests
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError
from tusclient.storage.filestorage import FileStorage

SET_UP = json.loads(os.environ["HOLDFAST_CLIENTS"])
HOLDFAST, BUCKET = SET_UP["url"], SET_UP["bucket"]
BEARER = {"authorization": f"Bearer {SET_UP['token']}"}

CHUNK_BYTES = 5 * 1024 * 1024

# Longer than two chunks, and no multiple of one.
DATA = os.urandom(2 * CHUNK_BYTES + 1_000_003)


def held(name):
    print(f"ok {name}", flush=True)


def is_stored(key, data):
    answer = requests.get(f"{HOLDFAST}/v1/download/{BUCKET}/{key}", headers=BEARER)
    assert answer.status_code == 200, f"{key}: {answer.status_code} {answer.text}"
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(data).digest(), f"{key} has other bytes"


def upload_token():
    asked = {"bucket": BUCKET, "prefix": "tuspy/in/"}
    made = requests.post(f"{HOLDFAST}/v1/tokens", headers=BEARER, json=asked)
    assert made.status_code == 201, made.text
    return made.json()["token"]


def chunks(name, client, prefix, path):
    for checksum, chunk_size in [(False, CHUNK_BYTES), (True, 2_000_003), (False, len(DATA))]:
        key = f"{prefix}chunks-{chunk_size}"
        metadata = {"bucket": BUCKET, "key": key}
        uploader = client.uploader(path, chunk_size=chunk_size, metadata=metadata, upload_checksum=checksum)
        uploader.upload()
        assert uploader.url.startswith(f"{client.url}/"), uploader.url
        is_stored(key, DATA)
        held(f"{name}: chunks of {chunk_size} bytes" + (", with checksums" if checksum else ""))


def resumed(name, client, prefix, path, folder):
    storage = FileStorage(os.path.join(folder, f"{name}.json"))
    key = f"{prefix}resumed"
    given = {
        "chunk_size": 1_500_000,
        "metadata": {"bucket": BUCKET, "key": key},
        "store_url": True,
        "url_storage": storage,
    }
    first = client.uploader(path, **given)
    first.upload(stop_at=CHUNK_BYTES)
    again = client.uploader(path, **given)
    assert again.url == first.url
    # It stopped within a part, and nothing of it is lost.
    assert again.offset == CHUNK_BYTES, again.offset
    again.upload()
    is_stored(key, DATA)
    storage.close()
    held(f"{name}: goes on by its stored URL")


def asynchronous(name, client, prefix, path):
    key = f"{prefix}async"
    metadata = {"bucket": BUCKET, "key": key}
    uploader = client.async_uploader(path, chunk_size=CHUNK_BYTES, metadata=metadata)
    asyncio.run(uploader.upload())
    is_stored(key, DATA)
    held(f"{name}: asynchronously")


def refused(path):
    client = TusClient(f"{HOLDFAST}/v1/tus", headers={"authorization": f"Bearer {SET_UP['expiredToken']}"})
    try:
        client.uploader(path, metadata={"bucket": BUCKET, "key": "tuspy/refused"}).upload()
    except TusCommunicationError as error:
        assert error.status_code == 401, error
        held("a token that is over is refused")
        return
    raise AssertionError("a token that is over was taken")


def main():
    with tempfile.TemporaryDirectory(prefix="holdfast-tuspy-") as folder:
        path = os.path.join(folder, "film.bin")
        with open(path, "wb") as file:
            file.write(DATA)
        ways = {
            "bearer token": (TusClient(f"{HOLDFAST}/v1/tus", headers=BEARER), "tuspy/"),
            "upload token": (TusClient(f"{HOLDFAST}/v1/t/{upload_token()}/tus"), "tuspy/in/"),
        }
        for name, (client, prefix) in ways.items():
            chunks(name, client, prefix, path)
            resumed(name, client, prefix, path, folder)
            asynchronous(name, client, prefix, path)
        refused(path)


main()
