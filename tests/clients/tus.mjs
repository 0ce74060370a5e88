// tus-js-client against Holdfast: progress, resumption, concatenation, a length that comes later, the first bytes with
// the creation, tokens that end on the way, and giving up. Prints a line for each check that held, and ends at the
// first that does not. With the argument `killed` it sends one file through whatever is killed meanwhile; see
// `tests/e2e/src/tus_clients.rs`.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { FileUrlStorage, Upload } from "tus-js-client";
import { bearer, held, isStored, setUp } from "./checks.mjs";

const { url: holdfast, token, expiredToken, bucket, givenUp } = setUp;

const MIB = 1024 * 1024;
const CHUNK_BYTES = 5 * MIB;

const endpoint = `${holdfast}/v1/tus`;

/** A file that is longer than three chunks, and no multiple of one. */
const bytes = randomBytes(3 * CHUNK_BYTES + 1_000_003);

/** Requests of all uploads, and what they were answered, as `PATCH 204 5242880`. */
const log = [];

const posts = () => log.filter((it) => it.startsWith("POST")).length;

/** What every upload here has; `more` has the last word. */
function options(key, more = {}) {
  return {
    endpoint,
    headers: bearer(token),
    metadata: { bucket, key, filetype: "application/octet-stream" },
    chunkSize: CHUNK_BYTES,
    // What was on its way when an upload stopped may still arrive behind the answer how far it is: 409, and again.
    retryDelays: [0, 100, 500],
    storeFingerprintForResuming: false,
    ...more,
    onAfterResponse(request, response) {
      const line = [request.getMethod(), response.getStatus(), response.getHeader("upload-offset")];
      log.push(line.filter((it) => it !== undefined && it !== null).join(" "));
      return more.onAfterResponse?.(request, response);
    },
  };
}

/** Sends to the end; answers the upload. `begin` may set it up further before it starts. */
async function send(data, given, begin = () => {}) {
  let upload;
  await new Promise((resolve, reject) => {
    upload = new Upload(data, { ...given, onSuccess: resolve, onError: reject });
    Promise.resolve(begin(upload)).then(() => upload.start(), reject);
  });
  return upload;
}

/** Sends until so much is acknowledged, and stops there as a page does that is closed. */
async function sendUntil(offset, data, given) {
  let upload;
  await new Promise((resolve, reject) => {
    const onChunkComplete = (_, accepted) => {
      if (accepted >= offset) resolve();
    };
    upload = new Upload(data, { ...given, onChunkComplete, onError: reject });
    upload.start();
  });
  await upload.abort();
  return upload;
}

async function inChunksAndInOne() {
  for (const chunkSize of [CHUNK_BYTES, Infinity]) {
    const [key, told] = [`tus-js/ü ☂ ${chunkSize}`, []];
    log.length = 0;
    const onProgress = (sent, total) => told.push([sent, total]);
    const upload = await send(bytes, options(key, { chunkSize, onProgress }));
    await isStored(key, bytes);
    assert(upload.url.startsWith(`${endpoint}/`), upload.url);
    assert(told.length > 2 && told.every(([, total]) => total === bytes.length));
    assert(told.every(([sent], at) => at === 0 || sent >= told[at - 1][0]), "the progress went back");
    assert.equal(told.at(-1)[0], bytes.length);
    assert.equal(log.filter((it) => it.startsWith("PATCH 204")).length, chunkSize === Infinity ? 1 : 4);
    held(`chunks of ${chunkSize} bytes`);
  }
  await send(Buffer.alloc(0), options("tus-js/empty"));
  await isStored("tus-js/empty", Buffer.alloc(0));
  held("an empty file");
  await send(Buffer.from("once"), options("tus-js/text", { metadata: { bucket, filename: "tus-js a.txt", filetype: "text/plain" } }));
  await isStored("tus-js a.txt", Buffer.from("once"), "text/plain");
  held("the name and the type of a file");
  await send(bytes, options("tus-js/override", { overridePatchMethod: true }));
  await isStored("tus-js/override", bytes);
  held("POST in place of PATCH");
}

/** Another process would do the same: only the store of URLs and the file are the same. */
async function resumed(folder) {
  const path = join(folder, "film.bin");
  await writeFile(path, bytes);
  const urlStorage = new FileUrlStorage(join(folder, "urls.json"));
  const stored = { urlStorage, storeFingerprintForResuming: true, removeFingerprintOnSuccess: true };
  log.length = 0;
  const first = await sendUntil(CHUNK_BYTES, createReadStream(path), options("tus-js/resumed", stored));
  let found;
  const again = await send(createReadStream(path), options("tus-js/resumed", stored), async (upload) => {
    found = await upload.findPreviousUploads();
    upload.resumeFromPreviousUpload(found[0]);
  });
  assert.equal(found.length, 1);
  assert.equal(again.url, first.url);
  assert.equal(posts(), 1);
  // It went on where it was, or further: what was on its way when the page was closed may have arrived.
  const { offset } = log.map((it) => it.match(/^HEAD 200 (?<offset>\d+)/)?.groups).find(Boolean);
  assert(Number(offset) >= CHUNK_BYTES, log.join("\n"));
  await isStored("tus-js/resumed", bytes);
  assert.equal((await urlStorage.findAllUploads()).length, 0);
  held("an upload goes on by its stored URL");

  // Whoever has missed the last answer learns by HEAD that it is done.
  log.length = 0;
  await send(bytes, options("tus-js/resumed", { uploadUrl: first.url }));
  assert.deepEqual(log, [`HEAD 200 ${bytes.length}`]);
  held("an upload that is done is not sent again");
}

async function parallel(folder) {
  const more = { parallelUploads: 3, metadataForPartialUploads: { bucket } };
  log.length = 0;
  await send(bytes, options("tus-js/parallel", more));
  await isStored("tus-js/parallel", bytes);
  assert.equal(posts(), 4);
  held("three pieces at once are concatenated");

  // Without metadata of its own a piece goes where the address says.
  await send(bytes, options("tus-js/parallel-2", { parallelUploads: 3, endpoint: `${endpoint}?bucket=${bucket}` }));
  await isStored("tus-js/parallel-2", bytes);
  held("the bucket of pieces may be in the address");

  const path = join(folder, "pieces.bin");
  await writeFile(path, bytes);
  const urlStorage = new FileUrlStorage(join(folder, "pieces.json"));
  // Chunks that are smaller than the pieces, so that there is something to go on with.
  const small = { ...more, urlStorage, storeFingerprintForResuming: true, chunkSize: MIB };
  const given = options("tus-js/parallel-3", small);
  let upload;
  await new Promise((resolve, reject) => {
    const onProgress = (sent) => sent > bytes.length / 2 && resolve();
    upload = new Upload(createReadStream(path), { ...given, onProgress, onError: reject });
    upload.start();
  });
  await upload.abort();
  log.length = 0;
  await send(createReadStream(path), given, async (next) => {
    const [found] = await next.findPreviousUploads();
    assert.equal(found.parallelUploadUrls.length, 3);
    next.resumeFromPreviousUpload(found);
  });
  // The one that joins them is the only new one.
  assert.equal(posts(), 1);
  await isStored("tus-js/parallel-3", bytes);
  held("pieces go on by their stored URLs");
}

async function deferred() {
  const stream = Readable.from((async function* pieces() {
    for (let at = 0; at < bytes.length; at += 700_001) yield bytes.subarray(at, at + 700_001);
  })());
  await send(stream, options("tus-js/deferred", { uploadLengthDeferred: true }));
  await isStored("tus-js/deferred", bytes);
  held("a stream whose length is not known");
}

async function withCreation() {
  for (const chunkSize of [CHUNK_BYTES, Infinity]) {
    log.length = 0;
    await send(bytes, options(`tus-js/created-${chunkSize}`, { chunkSize, uploadDataDuringCreation: true }));
    assert.equal(log[0], `POST 201 ${Math.min(chunkSize, bytes.length)}`);
    assert.equal(log.length, chunkSize === Infinity ? 1 : 4);
    await isStored(`tus-js/created-${chunkSize}`, bytes);
    held(`the creation takes the first ${chunkSize} bytes`);
  }
}

/** As the documentation has it: a 401 makes the application get a fresh token, and the same upload go on. */
async function freshToken() {
  let [current, renewals] = [token, 0];
  const given = options("tus-js/renewed", {
    headers: {},
    retryDelays: [0, 10, 100],
    onBeforeRequest: (request) => request.setHeader("authorization", `Bearer ${current}`),
    onAfterResponse(_, response) {
      if (response.getStatus() !== 401) return;
      [current, renewals] = [token, renewals + 1];
      // Whatever it was: it is tried again. By itself the client begins anew when HEAD is refused.
      throw new Error("The token is over");
    },
    onChunkComplete() {
      current = expiredToken;
    },
  });
  log.length = 0;
  await send(bytes, given);
  assert.equal(posts(), 1);
  // Refused bytes may show as a connection that is reset, and the question behind it, how far it is, is refused then.
  assert.equal(renewals, 3, log.join("\n"));
  await isStored("tus-js/renewed", bytes);
  held("a bearer token ends on the way");

  // The first thing that one hears of it may be a HEAD that is refused.
  const begun = await sendUntil(CHUNK_BYTES, bytes, options("tus-js/renewed-2"));
  log.length = 0;
  current = expiredToken;
  await send(bytes, { ...given, metadata: { bucket, key: "tus-js/renewed-2" }, uploadUrl: begun.url });
  assert.equal(log[0], "HEAD 401");
  assert.equal(posts(), 0);
  await isStored("tus-js/renewed-2", bytes);
  held("a bearer token ended while the upload rested");
}

async function uploadToken(expiresIn) {
  const answer = await fetch(`${holdfast}/v1/tokens`, {
    method: "POST",
    headers: bearer(token),
    body: JSON.stringify({ bucket, prefix: "tus-js/in/", expiresIn }),
  });
  assert.equal(answer.status, 201);
  return (await answer.json()).token;
}

async function byUploadToken() {
  const seconds = 4;
  const brief = await uploadToken(seconds);
  const byToken = (token) => `${holdfast}/v1/t/${token}/tus`;
  const given = options("", {
    endpoint: byToken(brief),
    headers: {},
    metadata: { filename: "by token.bin" },
  });
  log.length = 0;
  const upload = await sendUntil(CHUNK_BYTES, bytes, given);
  assert(upload.url.startsWith(`${byToken(brief)}/`), upload.url);
  await sleep(seconds * 1_000);
  let refusal;
  // Without an endpoint it cannot begin anew.
  await send(bytes, { ...given, endpoint: undefined, uploadUrl: upload.url }).catch((error) => {
    refusal = error.originalResponse.getStatus();
  });
  assert.equal(refusal, 401, "an upload token that is over does not look as if there was no upload");
  const fresh = await uploadToken(60);
  const uploadUrl = upload.url.replace(brief, fresh);
  await send(bytes, { ...given, endpoint: byToken(fresh), uploadUrl });
  assert.equal(posts(), 1);
  await isStored("tus-js/in/by token.bin", bytes);
  held("an upload token ends on the way");

  const parallel = { endpoint: byToken(fresh), headers: {}, metadata: { filename: "parallel.bin" }, parallelUploads: 3 };
  await send(bytes, options("", parallel));
  await isStored("tus-js/in/parallel.bin", bytes);
  held("three pieces by an upload token");
}

async function terminated(folder) {
  // Nothing, a part, a part and a tail, and three pieces at once.
  const into = (key) => options(key, { metadata: { bucket: givenUp, key }, chunkSize: 2 * MIB });
  const begun = await sendUntil(6 * MIB, bytes, into("tail"));
  await begun.abort(true);
  log.length = 0;
  await assert.rejects(send(bytes, { ...into("tail"), endpoint: undefined, uploadUrl: begun.url }));
  assert.deepEqual(log, ["HEAD 410"]);
  held("what is given up is gone");

  // From a file, so that the client knows what is out already.
  const path = join(folder, "given-up.bin");
  await writeFile(path, randomBytes(64 * MIB));
  const under_way = new Upload(createReadStream(path), { ...into("under-way"), chunkSize: Infinity });
  await new Promise((resolve, reject) => {
    Object.assign(under_way.options, { onProgress: (sent) => sent > MIB && resolve(), onError: reject });
    under_way.start();
  });
  await under_way.abort(true);
  held("an upload is given up while its bytes flow");
}

/**
 * One file while servers are killed. Says on each chunk how far it is (`at 5242880`), so that they are killed in the
 * middle; what was acknowledged is never lost, and it never begins anew.
 */
async function killed() {
  const data = randomBytes(60 * MIB + 17);
  let acknowledged = 0;
  const given = options("tus-js/killed", {
    chunkSize: 3 * MIB,
    // Up to half a minute without servers.
    retryDelays: Array(60).fill(500),
    onChunkComplete(_, accepted) {
      acknowledged = accepted;
      console.log(`at ${accepted}`);
    },
    async onAfterResponse(request, response) {
      if (request.getMethod() === "HEAD" && response.getStatus() === 200) {
        const offset = Number(response.getHeader("upload-offset"));
        assert(offset >= acknowledged, `${offset} is less than ${acknowledged}, which was acknowledged`);
        held(`resumed at ${offset}, behind ${acknowledged}`);
      }
      // Slow enough to be hit.
      await sleep(100);
    },
  });
  await send(data, given);
  assert.equal(posts(), 1, `it began anew:\n${log.join("\n")}`);
  await isStored("tus-js/killed", data);
  held("one upload, whatever was killed");
  console.error(log.filter((it) => !it.startsWith("PATCH 204")).join("\n"));
}

if (process.argv[2] === "killed") {
  await killed();
} else {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-tus-"));
  try {
    await inChunksAndInOne();
    await resumed(folder);
    await parallel(folder);
    await deferred();
    await withCreation();
    await freshToken();
    await byUploadToken();
    await terminated(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
process.exit(0);
