// A render worker in short: several of them draw the cards of one batch, and somebody watches. Copy what you need.
// Prints a line for each step that held; run by `tests/e2e/src/clients.rs`.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { bearer, held, sha256, setUp } from "./checks.mjs";

const images = new URL("../images/", import.meta.url);

/** How many cards are drawn at once. */
const WORKERS = 4;

/** How often a card is tried before it counts as failed. */
const ATTEMPTS = 2;

async function call(method, path, { body, headers = {} } = {}) {
  const answer = await fetch(`${setUp.url}/v1${path}`, {
    method,
    headers: { ...bearer(setUp.token), ...headers },
    body: body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body),
  });
  const type = answer.headers.get("content-type") ?? "";
  const json = type.includes("json") ? await answer.json() : undefined;
  // Every error says what is wrong, for a person (`detail`) and for a program (`code`, `rule`).
  if (!answer.ok && answer.status !== 304) throw Object.assign(new Error(json?.detail), json);
  return { answered: answer.status, tag: answer.headers.get("etag"), ...json };
}

/** Stands for drawing: the background with a name behind its pixels. A name without letters can not be drawn. */
function draw(background, name) {
  if (!/\p{L}/u.test(name)) throw new Error(`The font has no glyph for ${name}`);
  const text = Buffer.from(`Title\0${name}`, "utf8");
  const chunk = Buffer.concat([Buffer.from("iTXt"), Buffer.from("Title\0\0\0\0\0"), text.subarray(6)]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(chunk.length - 4);
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32(chunk));
  const end = background.length - 12;
  return Buffer.concat([background.subarray(0, end), length, chunk, crc, background.subarray(end)]);
}

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

// ---- Who orders the cards: a template, and a batch with a record for each person ------------------------------

const template = await call("POST", "/templates", { body: { name: "Badge" } });
await call("PUT", `/templates/${template.id}/background`, { body: await readFile(new URL("rgb.png", images)) });
const people = new Map([["1", "Ada"], ["2", "Grace"], ["3", "???"], ["4", "Łukasz"], ["5", "海野"], ["6", "Zoë"]]);
const order = {
  body: { name: "Badges for June", templateId: template.id, records: [...people.keys()] },
  // Sent again after a lost answer: still one batch.
  headers: { "idempotency-key": `june-${process.pid}-${Date.now()}` },
};
const batch = await call("POST", "/batches", order);
assert.equal((await call("POST", "/batches", order)).id, batch.id);
assert.deepEqual([batch.status, batch.counts.pending], ["pending", people.size]);
held("a batch is made, once");

// ---- Who watches: asks with what is known, and is answered when there is more ---------------------------------

const seen = [];
const watching = (async () => {
  let { tag, ...now } = await call("GET", `/batches/${batch.id}`);
  while (!["complete", "failed"].includes(now.status)) {
    const next = await call("GET", `/batches/${batch.id}?wait=20`, { headers: { "if-none-match": tag } });
    if (next.answered === 304) continue;
    ({ tag, ...now } = next);
    seen.push(now.progress);
  }
  return now;
})();

// ---- The workers: each takes the next card, says so, draws and stores it --------------------------------------

const background = Buffer.from(
  await (await fetch(`${setUp.url}/v1/templates/${template.id}/background`, { headers: bearer(setUp.token) })).arrayBuffer(),
);
const report = (recordId, status, reason) =>
  call("POST", `/batches/${batch.id}/records`, { body: { records: [{ recordId, status, reason }] } });

const queue = [...people];
async function work() {
  for (let next = queue.shift(); next; next = queue.shift()) {
    const [record, name] = next;
    await report(record, "rendering");
    for (let attempt = 1; ; attempt += 1) {
      try {
        const card = draw(background, name);
        // A PUT that is sent again makes another version of the same record, and counts once.
        await call("PUT", `/batches/${batch.id}/records/${record}`, { body: card, headers: { "content-type": "image/png" } });
        break;
      } catch (error) {
        if (attempt < ATTEMPTS) continue;
        await report(record, "failed", error.message);
        break;
      }
    }
  }
}
await Promise.all(Array.from({ length: WORKERS }, work));
const ended = await watching;
assert.deepEqual(ended.counts, { pending: 0, rendering: 0, complete: 5, failed: 1 });
assert.equal(ended.status, "failed");
assert(seen.every((progress, at) => at === 0 || progress >= seen[at - 1]), `${seen}`);
held("all cards are through, and one of them failed");

const failed = await call("GET", `/batches/${batch.id}/records?status=failed`);
assert.equal(failed.records.length, 1);
assert.match(failed.records[0].reason, /no glyph/);
held("why it failed is told");

// ---- What failed is drawn again, by whoever comes next ---------------------------------------------------------

people.set("3", "Katherine");
queue.push(...failed.records.map(({ recordId }) => [recordId, people.get(recordId)]));
await work();
const whole = await call("GET", `/batches/${batch.id}`);
assert.deepEqual([whole.status, whole.counts.complete], ["complete", people.size]);
held("the batch is complete");

// ---- All of it in one file -------------------------------------------------------------------------------------

const archive = await fetch(whole.archive, { headers: bearer(setUp.token) });
assert.equal(archive.headers.get("content-type"), "application/zip");
const zip = Buffer.from(await archive.arrayBuffer());
const card = draw(background, "Łukasz");
assert(zip.includes(card), "a card is not in the archive");
const one = await (await fetch(`${setUp.url}/v1/download/batches/${batch.id}/4`, { headers: bearer(setUp.token) })).arrayBuffer();
assert.equal(sha256(Buffer.from(one)), sha256(card));
held("the archive has the cards");
