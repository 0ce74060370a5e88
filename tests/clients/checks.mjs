// What the programs here have in common: what they are told, and how they look behind what they sent.

import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";

/** The end-to-end test's word: addresses, tokens, buckets. */
export const setUp = JSON.parse(process.env.HOLDFAST_CLIENTS);

/** One of these for each check. */
export function held(name) {
  console.log(`ok ${name}`);
}

export const sha256 = (data) => createHash("sha256").update(data).digest("hex");

export const bearer = (token) => ({ authorization: `Bearer ${token}` });

/** Asks for the object, and compares. */
export async function isStored(key, data, type = "application/octet-stream") {
  const path = key.split("/").map(encodeURIComponent).join("/");
  const url = `${setUp.url}/v1/download/${setUp.bucket}/${path}`;
  const answer = await fetch(url, { headers: bearer(setUp.token) });
  assert.equal(answer.status, 200, `${key}: ${answer.status}`);
  assert.equal(answer.headers.get("content-type"), type);
  assert.equal(sha256(Buffer.from(await answer.arrayBuffer())), sha256(data), `${key} has other bytes`);
}

/** A bearer token of the same user that ends so many seconds from now. */
export function brief(seconds) {
  const now = Math.floor(Date.now() / 1_000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: "alice", iat: now, exp: now + seconds })}`;
  return `${signed}.${createHmac("sha256", setUp.jwtSecret).update(signed).digest("base64url")}`;
}
