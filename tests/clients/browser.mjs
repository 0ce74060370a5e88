// The example page (`page/`) in Chromium, from another origin than Holdfast's and SeaweedFS's: every way of it, pauses,
// reloads, a network that is gone, tokens that end on the way, and uploads that are given up. Prints a line for each
// check that held, and ends at the first that does not.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, request as sendOn } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import { build } from "esbuild";
import { bearer, brief, held, isStored, setUp, sha256 } from "./checks.mjs";
import { serve } from "./page/serve.mjs";

const { url: holdfast, token, bucket, givenUp, foreign, chromium: executablePath } = setUp;

const MIB = 1024 * 1024;

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** How long one upload may take, in milliseconds. */
const TIME_LIMIT = 60_000;

/** As fast as an upload that is to be caught in the middle, in bytes a second. */
const SLOW = 6 * MIB;

/** Each way of the page, and by which tokens: in Companion mode Uppy sends no header. */
const WAYS = [
  ["form", "token"],
  ["form", "bearer"],
  ["tus", "token"],
  ["tus", "bearer"],
  ["uppy-tus", "token"],
  ["uppy-tus", "bearer"],
  ["uppy-companion", "token"],
  ["uppy-sign", "token"],
  ["uppy-sign", "bearer"],
];

/** Those that can be paused. */
const RESUMABLE = [
  ["tus", "token"],
  ["uppy-tus", "token"],
  ["uppy-companion", "token"],
  ["uppy-sign", "bearer"],
];

/** Those that can be given another token on the way. */
const RENEWED = [
  ["tus", "token"],
  ["tus", "bearer"],
  ["uppy-tus", "bearer"],
  ["uppy-sign", "bearer"],
];

const folder = await mkdtemp(join(tmpdir(), "holdfast-browser-"));

/** The tokens that the page is given next: a bearer token, and how long an upload token lives, in seconds. */
let next = token;
let nextSeconds = 3_600;
const server = await serve({ url: holdfast, bearer: () => next, bucket, seconds: () => nextSeconds });
const foreignServer = await serve({ url: holdfast, bearer: () => token, bucket: foreign });
const givenUpServer = await serve({ url: holdfast, bearer: () => token, bucket: givenUp });

/**
 * A proxy for all that the browser sends, which can be cut: what Chromium itself calls offline ends no request that is
 * under way.
 */
class Wire {
  #sockets = new Set();
  #whole = true;

  async open() {
    this.server = createServer((request, response) => {
      const { method, headers, url } = request;
      const onward = sendOn(url, { method, headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.rawHeaders);
        answer.pipe(response);
      });
      onward.on("error", () => response.destroy());
      response.on("close", () => onward.destroy());
      request.pipe(onward);
    });
    this.server.on("connection", (socket) => {
      if (!this.#whole) return socket.destroy();
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return { server: `http://127.0.0.1:${this.server.address().port}`, bypass: "<-loopback>" };
  }

  cut() {
    this.#whole = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.#whole = true;
  }

  stop() {
    this.cut();
    this.server.close();
  }
}

const wire = new Wire();
const context = await chromium.launchPersistentContext(join(folder, "profile"), {
  executablePath,
  args: FLAGS,
  proxy: await wire.open(),
});

/** One section of the page, as a user sees it. */
class Section {
  /** Opens the page anew. */
  static async open(id, by, address = server.address) {
    const section = new Section();
    const page = await context.newPage();
    Object.assign(section, { id, by, page, requests: [] });
    page.on("request", (it) => section.requests.push(`${it.method()} ${it.url()}`));
    page.on("pageerror", (error) => section.errors.push(error.message));
    page.on("console", (it) => it.type() === "error" && section.errors.push(it.text()));
    await page.goto(`${address}/?by=${by}`);
    await section.isReady();
    return section;
  }

  errors = [];

  async isReady() {
    await this.page.waitForSelector(`body[data-ready=${this.by}]`);
  }

  /** The page is closed and opened: nothing of it is left but what the browser keeps. */
  async reload() {
    await this.page.reload();
    await this.isReady();
    this.requests.length = 0;
  }

  find(selector) {
    return this.page.locator(`#${this.id} ${selector}`);
  }

  async choose(path) {
    await this.find("input[type=file]").setInputFiles(path);
    await this.click("start");
  }

  click(button) {
    return this.find(`.${button}`).click();
  }

  /** From 0 to 1. */
  progress() {
    return this.find("progress").evaluate((it) => it.value);
  }

  /** Waits until so much has gone out. */
  async isAt(part) {
    for (const end = Date.now() + TIME_LIMIT; ; await sleep(20)) {
      if ((await this.progress()) >= part) return;
      const [state, text] = await this.says();
      assert(Date.now() < end && !["failed", "done"].includes(state), this.told(`${state}: ${text}`));
    }
  }

  async says() {
    const output = this.find("output");
    return [await output.getAttribute("data-state"), await output.textContent()];
  }

  /** Waits until the upload ended. */
  async isDone(key) {
    const ended = this.find("output[data-state=done], output[data-state=failed]");
    await ended.waitFor({ timeout: TIME_LIMIT }).catch((error) => assert.fail(this.told(error.message)));
    const [, text] = await this.says();
    assert.equal(text, `Stored as ${key}`, this.told(text));
    assert.equal(await this.progress(), 1);
  }

  told(text) {
    return `${this.id} by ${this.by}: ${text}\n${this.errors.join("\n")}\n${this.requests.join("\n")}`;
  }

  /** How many requests of this kind went out. */
  count(pattern) {
    return this.requests.filter((it) => pattern.test(it)).length;
  }

  /** How fast its bytes go out from now on. */
  async speed(uploadThroughput) {
    this.session ??= await context.newCDPSession(this.page);
    await this.session.send("Network.enable");
    const conditions = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput };
    await this.session.send("Network.emulateNetworkConditions", conditions);
  }

  close() {
    return this.page.close();
  }
}

/** Begins an upload, or takes it up again: it is told by none of these that it began anew. */
const BEGINS = /^POST .*\/(tus|uppy\/s3\/multipart|objects\/.*\?uploads=)$/;

async function file(name, size) {
  const path = join(folder, name);
  const bytes = randomBytes(size);
  await writeFile(path, bytes);
  return { path, bytes, key: `page/${name}` };
}

async function everyWay() {
  for (const [id, by] of WAYS) {
    // In one request, and for S3 in parts; a name that has to be escaped everywhere.
    for (const size of [100_000, 6 * MIB + 11]) {
      const { path, bytes, key } = await file(`${id} ${by} +%&ü ${size}.png`, size);
      const section = await Section.open(id, by);
      await section.choose(path);
      await section.isDone(key);
      await isStored(key, bytes, "image/png");
      await section.close();
    }
    held(`${id} by ${by}: whole files and parts`);
  }
}

/** Paused in the middle, the page reloaded, the same file chosen again: it goes on, and never begins anew. */
async function pausedAndReloaded(id, by, size, bytesPerSecond) {
  const { path, bytes, key } = await file(`${id}-paused.bin`, size);
  const section = await Section.open(id, by);
  await section.speed(bytesPerSecond);
  await section.choose(path);
  await section.isAt(0.4);
  await section.click("pause");
  const paused = await section.progress();
  await sleep(500);
  assert.equal(await section.progress(), paused, section.told("it goes on while it is paused"));
  await section.click("resume");
  await section.isAt(Math.min(paused + 0.1, 0.9));
  await section.click("pause");
  assert.equal(section.count(BEGINS), 1, section.told("it began anew"));
  held(`${id} by ${by}: paused and resumed`);

  await section.reload();
  await section.speed(-1);
  await section.choose(path);
  await section.isDone(key);
  assert.equal(section.count(BEGINS), 0, section.told("it began anew"));
  await isStored(key, bytes);
  await section.close();
  held(`${id} by ${by}: goes on after a reload of the page`);
}

async function offline(id, by) {
  const { path, bytes, key } = await file(`${id}-offline.bin`, 16 * MIB);
  const section = await Section.open(id, by);
  await section.speed(SLOW);
  await section.choose(path);
  await section.isAt(0.4);
  await context.setOffline(true);
  wire.cut();
  await sleep(2_500);
  assert.equal(await section.page.evaluate(() => navigator.onLine), false);
  const [state] = await section.says();
  assert.equal(state, "uploading", section.told("it gave up"));
  wire.mend();
  await context.setOffline(false);
  await section.speed(-1);
  await section.isDone(key);
  assert.equal(section.count(BEGINS), 1, section.told("it began anew"));
  await isStored(key, bytes);
  await section.close();
  held(`${id} by ${by}: offline for a while`);
}

/** The first token is over before the upload is done. */
async function tokenEnds(id, by) {
  const { path, bytes, key } = await file(`${id}-${by}-token.bin`, 16 * MIB);
  const seconds = 4;
  if (by === "bearer") next = brief(seconds);
  else nextSeconds = seconds;
  const refusals = [];
  const section = await Section.open(id, by);
  [next, nextSeconds] = [token, 3_600];
  section.page.on("response", (it) => it.status() === 401 && refusals.push(it.request().method()));
  await section.speed(SLOW);
  await section.choose(path);
  await section.isAt(0.4);
  await section.click("pause");
  await sleep(seconds * 1_000);
  await section.click("resume");
  await section.isDone(key);
  assert(refusals.length > 0, section.told("its token was never over"));
  assert.equal(section.count(BEGINS), 1, section.told("it began anew"));
  await isStored(key, bytes);
  await section.close();
  held(`${id} by ${by}: a token ends on the way (${refusals})`);
}

/** The test looks into the bucket afterwards. */
async function cancelled(id, by) {
  const { path } = await file(`${id}-${by}-cancelled.bin`, 16 * MIB);
  const section = await Section.open(id, by, givenUpServer.address);
  await section.speed(SLOW);
  await section.choose(path);
  await section.isAt(0.5);
  await section.click("cancel");
  await section.find("output[data-state=failed]").waitFor();
  assert.equal((await section.says())[1], "Cancelled");
  // What it sends at its end.
  await section.page.waitForLoadState("networkidle");
  await section.close();
  held(`${id} by ${by}: given up in the middle`);
}

/** The policy of this bucket names another origin, and Chromium obeys it. */
async function ofAnotherOrigin() {
  const { path } = await file("foreign.bin", 1_000);
  const section = await Section.open("form", "bearer", foreignServer.address);
  await section.choose(path);
  await section.find("output[data-state=failed]").waitFor();
  assert(section.errors.some((it) => it.includes("CORS policy")), section.told("CORS is not in its way"));
  await section.close();
  held("a page of another origin than the bucket's");
}

/** An archive is read in the page by zip.js, every file compared with its CRC-32. */
async function archive() {
  const files = new Map();
  for (const [name, size] of [["one.bin", 100_000], ["ü +&/two.bin", 3 * MIB], ["empty", 0]]) {
    const key = `archive/${name}`;
    const bytes = randomBytes(size);
    files.set(key, sha256(bytes));
    const path = key.split("/").map(encodeURIComponent).join("/");
    const answer = await fetch(`${holdfast}/v1/upload/${bucket}/${path}`, { method: "PUT", headers: bearer(token), body: bytes });
    assert(answer.ok, await answer.text());
  }
  const code = `import { BlobReader, Uint8ArrayWriter, ZipReader } from "@zip.js/zip.js";
    globalThis.read = async (blob) => {
      const found = [];
      for (const entry of await new ZipReader(new BlobReader(blob)).getEntries()) {
        const bytes = await entry.getData(new Uint8ArrayWriter(), { checkSignature: true });
        const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
        found.push([entry.filename, [...digest].map((it) => it.toString(16).padStart(2, "0")).join("")]);
      }
      return found;
    };`;
  const bundle = { stdin: { contents: code, resolveDir: import.meta.dirname }, bundle: true, format: "iife", write: false };
  const { outputFiles } = await build({ ...bundle, target: "es2022", logLevel: "error" });
  const page = await context.newPage();
  await page.goto(`${server.address}/?by=token`);
  await page.addScriptTag({ content: outputFiles[0].text });
  const found = await page.evaluate(
    async ([url, token]) => {
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ prefix: "archive/" }) });
      return globalThis.read(await answer.blob());
    },
    [`${holdfast}/v1/objects/${bucket}/archive`, token],
  );
  assert.deepEqual(new Map(found), files);
  await page.close();
  held("an archive opens in a page");
}

/** To run a part of it while it is changed, as `ONLY=offline`. */
const only = process.env.ONLY;
const step = async (name, run) => {
  if (only && !name.includes(only)) return;
  const begun = Date.now();
  await run();
  console.log(`${name}: ${((Date.now() - begun) / 1_000).toFixed(1)} s`);
};

try {
  await step("every way", everyWay);
  await step("a large file", () => pausedAndReloaded("tus", "bearer", 256 * MIB, 64 * MIB));
  for (const [id, by] of RESUMABLE) {
    await step(`pause ${id}`, () => pausedAndReloaded(id, by, 21 * MIB, SLOW));
  }
  for (const [id, by] of RESUMABLE) await step(`offline ${id}`, () => offline(id, by));
  for (const [id, by] of RENEWED) await step(`token ${id}`, () => tokenEnds(id, by));
  for (const [id, by] of WAYS) await step(`cancel ${id}`, () => cancelled(id, by));
  await step("archive", archive);
  // At the end: an instance knows of policies within a minute.
  await step("another origin", ofAnotherOrigin);
} finally {
  await context.close();
  wire.stop();
  await Promise.all([server, givenUpServer, foreignServer].map((it) => it.stop()));
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);
