// URLs that Holdfast makes, used as programs with the AWS SDK for JavaScript would: by both of its HTTP stacks and by
// plain fetch; and its own signer beside ours. Prints a line for each check that held, and ends at the first that
// does not.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { Sha256 } from "@smithy/core/checksum";
import { HttpRequest } from "@smithy/core/transport";
import { FetchHttpHandler } from "@smithy/fetch-http-handler";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { SignatureV4 } from "@smithy/signature-v4";

const { url: holdfast, token, s3, expired } = JSON.parse(process.env.HOLDFAST_CLIENTS);

/** All parts but the last have this size at the least. */
const PART_BYTES = 5 * 1024 * 1024;

function held(name) {
  console.log(`ok ${name}`);
}

/** A URL as the SDK has requests; a bare `=`, `+` or `%2F` must come through as it was signed. */
function request(method, address, headers, body) {
  const url = new URL(address);
  const query = Object.fromEntries(url.searchParams);
  const { protocol, hostname, pathname: path } = url;
  const port = url.port ? Number(url.port) : undefined;
  return new HttpRequest({ method, protocol, hostname, port, path, query, headers, body });
}

/** One of the SDK's HTTP stacks. */
function stack(handler) {
  return async (method, address, headers = {}, body) => {
    const { response } = await handler.handle(request(method, address, headers, body));
    return { status: response.statusCode, body: await bytesOf(response.body) };
  };
}

async function bytesOf(body) {
  if (!body) return Buffer.alloc(0);
  return body instanceof Blob ? Buffer.from(await body.arrayBuffer()) : buffer(body);
}

/** As in a browser, where a page may not set the length; fetch knows it. */
async function plain(method, address, headers = {}, body) {
  const { "content-length": _, ...allowed } = headers;
  const answer = await fetch(address, { method, headers: allowed, body });
  return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()) };
}

/** A call of our API, which is the caller's own business and no client's. */
async function api(method, address, body) {
  const answer = await fetch(address.startsWith("http") ? address : holdfast + address, {
    method,
    headers: { authorization: `Bearer ${token}` },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  assert(answer.ok, `${method} ${address}: ${answer.status} ${text}`);
  return text && JSON.parse(text);
}

const presign = (body) => api("POST", "/v1/presign", { bucket: "documents", ...body });

/** The same URL with another last character, which is one of its signature. */
const forged = (url) => url.slice(0, -1) + (url.endsWith("0") ? "1" : "0");

async function refused(send, status, name, method, url, headers, body) {
  const answer = await send(method, url, headers, body);
  assert.equal(answer.status, status, `${name}: ${answer.status} ${answer.body}`);
  held(name);
}

async function putOnce(send, name, key, bytes) {
  const contentType = "application/x-noise";
  const put = await presign({ method: "PUT", key, size: bytes.length, contentType });
  const sent = await send("PUT", put.url, put.headers, bytes);
  assert.equal(sent.status, 200, `${sent.body}`);
  await refused(send, 412, `${name}: a second PUT is refused`, "PUT", put.url, put.headers, bytes);
  await refused(send, 403, `${name}: a forged PUT is refused`, "PUT", forged(put.url), put.headers, bytes);
  await refused(send, 403, `${name}: PUT is no DELETE`, "DELETE", put.url);
  const done = await send("POST", put.complete);
  assert.equal(JSON.parse(done.body).size, bytes.length, `${done.body}`);
  const again = await send("POST", put.complete);
  assert.deepEqual(again, done);
  held(`${name}: a presigned PUT is completed`);
  await refused(send, 412, `${name}: a PUT is not replayed`, "PUT", put.url, put.headers, bytes);

  const gone = await presign({ method: "PUT", key: `${key}-gone`, size: bytes.length, contentType });
  assert.equal((await send("PUT", gone.url, gone.headers, bytes)).status, 200);
  await api("DELETE", `/v1/presign/${gone.id}`);
  await refused(send, 404, `${name}: a revoked PUT is not completed`, "POST", gone.complete);
}

async function get(send, name, key, bytes) {
  const through = await presign({ method: "GET", key });
  const direct = await presign({ method: "GET", key, direct: true, download: "für dich+(1).bin" });
  for (const { url } of [through, direct]) {
    const answer = await send("GET", url);
    assert.equal(answer.status, 200, `${answer.body}`);
    assert(bytes.equals(answer.body), `${answer.body.length} other bytes`);
  }
  held(`${name}: GET through Holdfast and direct`);
  for (const { url } of [through, direct]) {
    const kind = url === direct.url ? "direct" : "signed";
    await refused(send, 403, `${name}: a forged ${kind} URL is refused`, "GET", forged(url));
    const other = url.replace(/(.)\?/, (_, last) => (last === "1" ? "2?" : "1?"));
    await refused(send, 403, `${name}: a ${kind} URL is of one object`, "GET", other);
  }
  await refused(send, 405, `${name}: a signed URL is no PUT`, "PUT", through.url, {}, bytes);
  await refused(send, 403, `${name}: a direct URL is no DELETE`, "DELETE", direct.url);
  const host = direct.url.replace("127.0.0.1", "localhost");
  assert.notEqual(host, direct.url);
  await refused(send, 403, `${name}: a direct URL is of one host`, "GET", host);
  await api("DELETE", `/v1/presign/${through.id}`);
  await refused(send, 403, `${name}: a revoked URL is refused`, "GET", through.url);
}

async function multipart(send, name, key) {
  const bytes = randomBytes(PART_BYTES + 9);
  const begun = await api("POST", "/v1/multipart", {
    bucket: "documents",
    key,
    size: bytes.length,
    partSize: PART_BYTES,
  });
  const { parts } = await api("POST", `${begun.url}/sign`, { parts: [1, 2] });
  const chunks = [bytes.subarray(0, PART_BYTES), bytes.subarray(PART_BYTES)];
  for (const [place, part] of parts.entries()) {
    const sent = await send(part.method, part.url, part.headers, chunks[place]);
    assert.equal(sent.status, 200, `${sent.body}`);
  }
  const other = parts[0].url.replace("partNumber=1", "partNumber=2");
  assert.notEqual(other, parts[0].url);
  await refused(send, 403, `${name}: a part's URL is of one part`, "PUT", other, parts[0].headers, chunks[0]);
  const object = await api("POST", `${begun.url}/complete`);
  assert.equal(object.size, bytes.length);
  await refused(send, 404, `${name}: a part is not replayed`, "PUT", parts[1].url, parts[1].headers, chunks[1]);
  const { url } = await presign({ method: "GET", key });
  assert(bytes.equals((await send("GET", url)).body));
  held(`${name}: signed parts become the object`);
}

async function over(send, name) {
  for (const [kind, { method, url, headers }] of Object.entries(expired)) {
    const body = method === "PUT" ? Buffer.from("hello") : undefined;
    await refused(send, 403, `${name}: an expired ${kind} URL is refused`, method, url, headers, body);
  }
}

/** What AWS's signer makes of the same request at the same time is our URL, letter by letter. */
async function sameSignature(name, method, url, headers = {}) {
  const { host } = new URL(url);
  // S3's own rule for URLs: the body is not signed, and this header that says so is not sent.
  const unsigned = "x-amz-content-sha256";
  const theirs = request(method, url, { ...headers, host, [unsigned]: "UNSIGNED-PAYLOAD" });
  for (const parameter of Object.keys(theirs.query)) {
    if (parameter.startsWith("X-Amz-")) delete theirs.query[parameter];
  }
  const [ours, { accessKeyId, secretAccessKey, region }] = [new URL(url).searchParams, s3];
  const signer = new SignatureV4({
    service: "s3",
    region,
    credentials: { accessKeyId, secretAccessKey },
    sha256: Sha256,
    uriEscapePath: false,
    applyChecksum: false,
  });
  const signingDate = ours.get("X-Amz-Date").replace(/(....)(..)(..T..)(..)/, "$1-$2-$3:$4:");
  const signed = await signer.presign(theirs, {
    signingDate: new Date(signingDate),
    expiresIn: Number(ours.get("X-Amz-Expires")),
    unhoistableHeaders: new Set([unsigned, ...Object.keys(headers)]),
    unsignableHeaders: new Set([unsigned]),
    signableHeaders: new Set(["host", ...Object.keys(headers)]),
  });
  const sorted = (query) => Object.entries(query).sort(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(sorted(signed.query), sorted(Object.fromEntries(ours)));
  held(`${name}: AWS's signer makes the same URL`);
}

/** The SDK with our key reads by its own URL what ours reads. */
async function ownSigner(key, bytes) {
  const { url } = await presign({ method: "GET", key, direct: true });
  const [, Bucket, Key] = new URL(url).pathname.match(/^\/([^/]+)\/(.+)$/);
  const { accessKeyId, secretAccessKey, region, endpoint } = s3;
  const client = new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
  const command = new GetObjectCommand({ Bucket, Key: decodeURIComponent(Key) });
  const theirs = await getSignedUrl(client, command, { expiresIn: 60 });
  assert(bytes.equals((await plain("GET", theirs)).body));
  const object = await client.send(command);
  assert(bytes.equals(await bytesOf(object.Body)));
  held("SDK: its own URL reads the same object");

  await sameSignature("GET", "GET", url);
  const put = await presign({ method: "PUT", key: `${key}-signed`, size: 5, contentType: "text/plain" });
  await sameSignature("PUT", "PUT", put.url, put.headers);
  const part = await api("POST", "/v1/multipart", { bucket: "documents", key: `${key}-signed`, size: 5 });
  const { parts } = await api("POST", `${part.url}/sign`, { parts: [1] });
  await sameSignature("part", "PUT", parts[0].url, parts[0].headers);
  await api("DELETE", part.url);
}

const stacks = {
  "node-http-handler": stack(new NodeHttpHandler()),
  "fetch-http-handler": stack(new FetchHttpHandler()),
  fetch: plain,
};
const bytes = randomBytes(100_000);
for (const [name, send] of Object.entries(stacks)) {
  const key = `clients/${name}/ü +&1.bin`;
  await putOnce(send, name, key, bytes);
  await get(send, name, key, bytes);
  await multipart(send, name, `${key}-parts`);
  await over(send, name);
}
await ownSigner("clients/fetch/ü +&1.bin", bytes);
process.exit(0);
