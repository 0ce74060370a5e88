// Uppy itself, with its plugin for S3, against Holdfast: in Companion mode and by signRequest, whole files and parts,
// aborted and resumed. Node has no XMLHttpRequest, so one stands here over fetch; it knows no CORS, which is a
// browser's business. Prints a line for each check that held, and ends at the first that does not.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import AwsS3 from "@uppy/aws-s3";
import { Uppy } from "@uppy/core";

const { url: holdfast, token } = JSON.parse(process.env.HOLDFAST_CLIENTS);

/** As small as a part may be. */
const PART_BYTES = 5 * 1024 * 1024;

/** Requests that were sent, as `PUT http://...`; a test may let one fail. */
const sent = [];
let failing = () => false;

globalThis.XMLHttpRequest = class {
  upload = {};
  status = 0;
  #headers = new Headers();
  #controller = new AbortController();

  open(method, url) {
    Object.assign(this, { method, url });
  }

  setRequestHeader(name, value) {
    this.#headers.append(name, value);
  }

  getResponseHeader(name) {
    return this.response?.headers.get(name) ?? null;
  }

  abort() {
    this.#controller.abort();
  }

  async send(body) {
    const { method, url } = this;
    sent.push(`${method} ${url}`);
    try {
      if (failing(method, url)) throw new TypeError("the network is gone");
      const { signal } = this.#controller;
      this.response = await fetch(url, { method, headers: this.#headers, body: body ?? undefined, signal });
      this.responseText = await this.response.text();
      this.status = this.response.status;
      this.statusText = this.response.statusText;
    } catch (error) {
      if (error.name !== "AbortError") this.onerror?.(error);
      return;
    }
    const size = body?.size ?? 0;
    this.upload.onprogress?.({ lengthComputable: true, loaded: size, total: size });
    await this.onload();
  }
};

function held(name) {
  console.log(`ok ${name}`);
}

async function api(method, path, body) {
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(holdfast + path, { method, headers, body: body && JSON.stringify(body) });
  assert(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer;
}

async function isStored(key, bytes, type) {
  const path = key.split("/").map(encodeURIComponent).join("/");
  const answer = await api("GET", `/v1/download/documents/${path}`);
  assert.equal(answer.headers.get("content-type"), type);
  assert(bytes.equals(Buffer.from(await answer.arrayBuffer())), `${key} has other bytes`);
}

/** What the page does: `signRequest` with a bearer token, which it has, or with an upload token in the path. */
const signRequest = (path, headers, more) => async (request) => {
  const answer = await fetch(`${holdfast}${path}/sign`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ ...request, ...more }),
  });
  assert(answer.ok, `${JSON.stringify(request)}: ${answer.status} ${await answer.clone().text()}`);
  return answer.json();
};

async function upload(options, file) {
  const uppy = new Uppy().use(AwsS3, { getChunkSize: () => PART_BYTES, ...options });
  const id = uppy.addFile(file);
  if (file.s3Multipart) uppy.setFileState(id, { s3Multipart: file.s3Multipart });
  const result = await uppy.upload();
  return { uppy, id, result };
}

async function whole(name, options, prefix, meta) {
  const bytes = randomBytes(100_000);
  const file = { name: "ü +&1.png", type: "image/x-noise", data: new Blob([bytes]), meta };
  const { result } = await upload({ ...options, shouldUseMultipart: false }, file);
  assert.equal(result.failed.length, 0, result.failed[0]?.error);
  const { key, location } = result.successful[0].response.body;
  assert(key.startsWith(prefix) && key.endsWith("ü +&1.png"), key);
  assert(location.startsWith(holdfast), location);
  await isStored(key, bytes, "image/x-noise");
  held(`${name}: a whole file`);
}

async function parts(name, options, prefix, meta) {
  const bytes = randomBytes(2 * PART_BYTES + 9);
  const file = { name: "parts.bin", type: "video/x-noise", data: new Blob([bytes]), meta };
  sent.length = 0;
  // The second part never gets through: Uppy gives up and remembers what it began.
  failing = (method, url) => method === "PUT" && url.includes("partNumber=2");
  const { uppy, id, result } = await upload({ ...options, shouldUseMultipart: true }, file);
  assert.equal(result.failed.length, 1);
  failing = () => false;
  const begun = uppy.getFile(id).s3Multipart;
  assert(begun.key.startsWith(prefix) && begun.uploadId, JSON.stringify(begun));
  held(`${name}: an upload in parts breaks`);

  // As after a reload of the page: it asks which parts are there, and sends the others.
  sent.length = 0;
  const again = await upload({ ...options, shouldUseMultipart: true }, { ...file, s3Multipart: begun });
  assert.equal(again.result.failed.length, 0, again.result.failed[0]?.error);
  const numbers = sent.map((it) => it.match(/^PUT .*partNumber=(\d+)/)?.[1]).filter(Boolean);
  assert.deepEqual(numbers, ["2", "3"]);
  assert(sent.filter((it) => it.startsWith("PUT")).every((it) => !it.includes(holdfast)), sent.join("\n"));
  const { key, location } = again.result.successful[0].response.body;
  assert.equal(key, begun.key);
  assert(location.startsWith(`${holdfast}/v1/download/documents/`), location);
  await isStored(key, bytes, "video/x-noise");
  held(`${name}: and goes on with the parts that are missing`);
}

async function cancelled(name, options, meta) {
  const file = { name: "cancelled.bin", data: new Blob([randomBytes(PART_BYTES + 1)]), meta };
  failing = (method, url) => method === "PUT" && url.includes("partNumber=2");
  const { uppy, id } = await upload({ ...options, shouldUseMultipart: true }, file);
  failing = () => false;
  const { uploadId } = uppy.getFile(id).s3Multipart;
  // Resumed, and removed while it is under way.
  const again = new Uppy().use(AwsS3, { getChunkSize: () => PART_BYTES, ...options, shouldUseMultipart: true });
  const other = again.addFile(file);
  again.setFileState(other, { s3Multipart: uppy.getFile(id).s3Multipart });
  again.on("s3-multipart:part-uploaded", () => again.removeFile(other));
  await again.upload();
  for (let tries = 0; ; tries += 1) {
    const state = await (await api("GET", `/v1/multipart/${uploadId}`)).json();
    if (state.state === "aborted") break;
    assert(tries < 50, `${state.state} after 5 s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  held(`${name}: a file that is removed is given up`);
}

const made = await api("POST", "/v1/tokens", { bucket: "documents", prefix: "uppy/in/" });
const { token: held_token } = await made.json();
const byToken = `/v1/t/${held_token}/uppy`;
const bearer = { authorization: `Bearer ${token}` };
const ways = {
  Companion: [{ companionEndpoint: `${holdfast}${byToken}` }, "uppy/in/"],
  "signRequest by token": [{ signRequest: signRequest(`${byToken}/s3`, {}, {}) }, "uppy/in/"],
  "signRequest by bearer": [{ signRequest: signRequest("/v1/uppy/s3", bearer, { bucket: "documents" }) }, ""],
};
for (const [name, [options, prefix]] of Object.entries(ways)) {
  await whole(name, options, prefix, {});
  await parts(name, options, prefix, {});
  await cancelled(name, options, {});
}
process.exit(0);
