// A profile page in short: an avatar that everybody sees and papers that nobody sees, as policies of two buckets. Copy
// what you need; in a browser it is the same code, with a File for the bytes. Prints a line for each step that held; run
// by `tests/e2e/src/clients.rs`.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { bearer, held, setUp } from "./checks.mjs";

const images = new URL("../images/", import.meta.url);

const request = (method, path, { body, headers = {}, token = setUp.token } = {}) =>
  fetch(path.startsWith("http") ? path : `${setUp.url}/v1${path}`, {
    method,
    headers: { ...(token && bearer(token)), ...headers },
    body: body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body),
  });

/** Every error says what is wrong, for a person (`detail`) and for a program (`code`, `rule`). */
async function call(...asked) {
  const answer = await request(...asked);
  const json = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(json.detail), json);
  return json;
}

// ---- Once, by whoever sets the application up: what each kind of file may be -----------------------------------

const suffix = `${process.pid}-${Date.now()}`;
const faces = `faces-${suffix}`;
const papers = `papers-${suffix}`;
await call("POST", "/buckets", {
  body: {
    name: faces,
    policy: {
      visibility: "public-read",
      writers: "authenticated",
      image: { minWidth: 16, minHeight: 16, maxWidth: 512, maxHeight: 512 },
      maxBytes: 500_000,
      retentionHours: 48,
    },
  },
});
await call("POST", "/buckets", {
  body: {
    name: papers,
    policy: { writers: "authenticated", allowedTypes: ["application/pdf", "text/plain"], maxBytes: 5_000_000, ownerQuotaBytes: 20_000_000 },
  },
});
held("a bucket for each kind of file");

// ---- A user's avatar -------------------------------------------------------------------------------------------

const avatar = `/upload/${faces}/alice/avatar`;
const first = await call("PUT", avatar, { body: await readFile(new URL("rgb.png", images)) });
assert.equal(first.contentType, "image/png");
const shown = await request("GET", first.url, { token: null });
assert.equal(shown.headers.get("content-type"), "image/png");
assert.match(shown.headers.get("cache-control"), /public/);
held("everybody sees the avatar, and a cache may keep it");

for (const [bytes, rule] of [
  [Buffer.from("<svg/>"), "image.format"],
  [Buffer.concat([await readFile(new URL("rgb.png", images)), Buffer.from("<script>")]), "image.trailing"],
]) {
  await assert.rejects(call("PUT", avatar, { body: bytes }), { rule });
}
held("what is no picture is refused, and the avatar stays");

const second = await call("PUT", avatar, { body: await readFile(new URL("restarts.jpg", images)) });
assert.equal(second.contentType, "image/jpeg");
await call("POST", `/objects/${faces}`, {
  body: { operation: "restore", key: "alice/avatar", version: first.version },
});
const back = await request("HEAD", first.url, { token: null });
assert.equal(back.headers.get("content-type"), "image/png");
held("the avatar before comes back");

// ---- Papers that only their owner sees, until they are shared --------------------------------------------------

const paper = await call("PUT", `/upload/${papers}/alice/cv.pdf`, { body: Buffer.from("%PDF-1.7\n%\xe2\xe3\n1 0 obj\n", "latin1") });
assert.equal(paper.contentType, "application/pdf");
assert.equal((await request("GET", paper.url, { token: null })).status, 404);
await assert.rejects(call("PUT", `/upload/${papers}/alice/cv.exe`, { body: Buffer.from("MZ\0\0\0\0\0\0") }), {
  code: "InvalidContentType",
});
held("a paper is private, and what is none is refused");

const link = await call("POST", "/shares", {
  body: { bucket: papers, key: "alice/cv.pdf", maxDownloads: 1, download: "CV Alice.pdf", expiresIn: 3_600 },
});
assert.equal((await request("GET", link.url, { token: null })).status, 200);
assert.equal((await request("GET", link.url, { token: null })).status, 404);
held("a link shows it once");

// ---- What the page lists, and what it takes along --------------------------------------------------------------

const list = await call("GET", `/objects/${papers}?prefix=alice/`);
assert.deepEqual(list.objects.map(({ key }) => key), ["alice/cv.pdf"]);
const zip = await request("POST", `/objects/${papers}/archive`, { body: { prefix: "alice/", name: "my papers.zip" } });
assert.equal(zip.headers.get("content-type"), "application/zip");
assert.match(Buffer.from(await zip.arrayBuffer()).toString("latin1"), /alice\/cv\.pdf/);
held("all of a user's files in one archive");

await call("DELETE", `/objects/${papers}/alice/cv.pdf`);
const trash = await call("GET", `/objects/${papers}?trash`);
assert.equal(trash.trash[0].key, "alice/cv.pdf");
await call("POST", `/objects/${papers}`, { body: { operation: "restore", key: "alice/cv.pdf" } });
assert.equal((await request("HEAD", paper.url)).status, 200);
held("what was deleted comes back");
