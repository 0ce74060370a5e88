// The ways to upload from a browser. Each takes a file, what the page may do (`access`) and where progress is shown, and
// answers how to pause, resume and cancel it, and a promise of its key.

import AwsS3 from "@uppy/aws-s3";
import { Uppy } from "@uppy/core";
import GoldenRetriever from "@uppy/golden-retriever";
import UppyTus from "@uppy/tus";
import { Upload } from "tus-js-client";

/** How long to wait before a request is tried again, in milliseconds: as long as a server needs to come back. */
const RETRY_DELAYS = [0, 1_000, 3_000, 5_000, 10_000, 20_000];

/** From this size on S3 gets parts, in bytes; a part has this size, which is the smallest that S3 takes. */
const PART_BYTES = 5 * 1024 * 1024;

/** What the page may do, as its own server says. */
export class Access {
  static async by(kind) {
    const access = new Access();
    access.kind = kind;
    await access.renew();
    return access;
  }

  /** Asks the application's own server again: the user is signed in there. */
  async renew() {
    const answer = await fetch(`access?by=${this.kind}`);
    if (!answer.ok) throw new Error(`No access: ${answer.status}`);
    // The address of Holdfast, a bucket, what keys begin with, and a token.
    Object.assign(this, await answer.json());
  }

  /** Where the routes are; an upload token is a part of it. */
  get base() {
    return this.kind === "token" ? `${this.url}/v1/t/${this.token}` : `${this.url}/v1`;
  }

  get headers() {
    return this.kind === "token" ? {} : { authorization: `Bearer ${this.token}` };
  }

  key(file) {
    return this.prefix + file.name;
  }
}

/** What tus-js-client and @uppy/tus are given alike. */
function tusOptions(access) {
  return {
    endpoint: `${access.base}/tus`,
    retryDelays: RETRY_DELAYS,
    // A bearer token may end before the upload does: each request takes the newest.
    onBeforeRequest(request) {
      for (const [name, value] of Object.entries(access.headers)) request.setHeader(name, value);
    },
    async onAfterResponse(_, response) {
      if (response.getStatus() !== 401) return;
      await access.renew();
      // Thrown, so that it is tried again. By itself tus-js-client fails when bytes are refused, and begins anew when
      // its question is, how far the upload is.
      throw new Error("The token was over");
    },
  };
}

/** `multipart/form-data`: what a `<form>` posts by itself, here with its progress. */
export function form(file, access, progress) {
  const body = new FormData();
  body.set("key", access.key(file));
  body.set("file", file);
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("POST", `${access.base}/upload/${access.bucket}`);
    for (const [name, value] of Object.entries(access.headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => progress(loaded, total);
    request.onload = () => {
      if (request.status >= 300) return reject(new Error(request.responseText));
      const [stored] = JSON.parse(request.responseText).files;
      resolve(stored.key);
    };
    request.onerror = () => reject(new Error("The network failed"));
    request.onabort = () => reject(new Error("Cancelled"));
    request.send(body);
  });
  return { done, cancel: () => request.abort() };
}

export function tus(file, access, progress) {
  const key = access.key(file);
  let upload;
  let cancelled = () => {};
  const done = new Promise((resolve, reject) => {
    cancelled = () => reject(new Error("Cancelled"));
    upload = new Upload(file, {
      ...tusOptions(access),
      metadata: { bucket: access.bucket, key, filetype: file.type || "application/octet-stream" },
      // The address of the upload is kept in the browser until it is done.
      removeFingerprintOnSuccess: true,
      onProgress: progress,
      onSuccess: () => resolve(key),
      // It does not try again by itself while there is no network.
      onError: (error) => {
        if (navigator.onLine) return reject(error);
        addEventListener("online", () => upload.start(), { once: true });
      },
    });
    upload.findPreviousUploads().then(([previous]) => {
      if (previous) upload.resumeFromPreviousUpload(previous);
      upload.start();
    }, reject);
  });
  return {
    done,
    pause: () => upload.abort(),
    resume: () => upload.start(),
    cancel: async () => {
      // `true` deletes it on the server too.
      await upload.abort(true);
      cancelled();
    },
  };
}

/** A Uppy that remembers its files in the browser, with one of the plugins below. */
async function uppy(id, plugin, options, file, access, progress) {
  const it = new Uppy({ id }).use(GoldenRetriever).use(plugin, options);
  it.on("upload-progress", (_, { bytesUploaded, bytesTotal }) => progress(bytesUploaded, bytesTotal));
  const [previous] = await restored(it);
  let fileId = previous?.id;
  const data = { name: file.name, type: file.type || "application/octet-stream", data: file };
  const meta = { bucket: access.bucket, key: access.key(file) };
  if (previous && (previous.name !== file.name || previous.size !== file.size)) {
    it.removeFile(previous.id);
    fileId = undefined;
  }
  // A large file is remembered by name only: it gets its bytes again.
  if (!fileId || it.getFile(fileId).isGhost) fileId = it.addFile({ ...data, meta });
  const done = new Promise((resolve, reject) => {
    it.on("upload-success", () => resolve(access.key(file)));
    // What the plugins do not try again by themselves goes on when there is a network again.
    it.on("upload-error", (failed, error) => {
      if (navigator.onLine) return reject(error);
      addEventListener("online", () => it.retryUpload(failed.id).catch(() => {}), { once: true });
    });
    it.on("file-removed", () => reject(new Error("Cancelled")));
  });
  if (previous && fileId === previous.id) it.emit("restore-confirmed");
  else it.upload().catch(() => {});
  return {
    done,
    pause: () => it.pauseAll(),
    resume: () => it.resumeAll(),
    cancel: () => it.removeFile(fileId),
  };
}

/** The files that were under way when the page was closed. */
function restored(it) {
  return new Promise((resolve) => {
    it.once("restored", () => resolve(it.getFiles()));
    // Nothing was.
    setTimeout(() => resolve(it.getFiles()), 500);
  });
}

export const uppyTus = (file, access, progress) =>
  uppy("uppy-tus", UppyTus, tusOptions(access), file, access, progress);

/** What both modes of @uppy/aws-s3 are given alike. */
const s3Options = {
  shouldUseMultipart: (file) => file.size > PART_BYTES,
  getChunkSize: () => PART_BYTES,
};

export const uppyCompanion = (file, access, progress) =>
  uppy("uppy-companion", AwsS3, { ...s3Options, companionEndpoint: `${access.base}/uppy` }, file, access, progress);

export function uppySign(file, access, progress) {
  const signRequest = async (request) => {
    const ask = () =>
      fetch(`${access.base}/uppy/s3/sign`, {
        method: "POST",
        headers: { ...access.headers, "content-type": "application/json" },
        body: JSON.stringify({ ...request, bucket: access.bucket }),
      });
    let answer = await ask();
    if (answer.status === 401) {
      await access.renew();
      answer = await ask();
    }
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  };
  // The key is ours to choose; by itself Uppy puts a random id in front of the name.
  const generateObjectKey = (file) => access.key(file);
  return uppy("uppy-sign", AwsS3, { ...s3Options, signRequest, generateObjectKey }, file, access, progress);
}
