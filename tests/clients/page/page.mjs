// Connects the ways with the buttons of the page.

import * as ways from "./ways.mjs";

const SECTIONS = {
  form: ways.form,
  tus: ways.tus,
  "uppy-tus": ways.uppyTus,
  "uppy-companion": ways.uppyCompanion,
  "uppy-sign": ways.uppySign,
};

const by = new URLSearchParams(location.search).get("by") === "bearer" ? "bearer" : "token";
document.getElementById("by").textContent = by === "bearer" ? "a bearer token" : "an upload token";
const access = await ways.Access.by(by);

for (const [id, way] of Object.entries(SECTIONS)) {
  const section = document.getElementById(id);
  const controls = document.getElementById("controls").content.cloneNode(true);
  if (id !== "form") section.append(controls);
  const find = (selector) => section.querySelector(selector);
  const say = (state, text) => {
    find("output").dataset.state = state;
    find("output").textContent = text;
  };
  const progress = (sent, total) => {
    find("progress").value = total ? sent / total : 0;
    say("uploading", `${sent} of ${total} bytes`);
  };

  let upload;
  find(".start").onclick = async (event) => {
    event.preventDefault();
    const [file] = find("input[type=file]").files;
    if (!file) return say("failed", "Choose a file first");
    say("uploading", "Begins");
    try {
      upload = await way(file, access, progress);
      const key = await upload.done;
      find("progress").value = 1;
      say("done", `Stored as ${key}`);
    } catch (error) {
      say("failed", error.message);
    }
  };
  for (const button of ["pause", "resume", "cancel"]) {
    find(`.${button}`)?.addEventListener("click", async () => {
      await upload?.[button]?.();
      if (button === "pause") say("paused", "Paused");
    });
  }
}

// Without script the form goes by itself, by an upload token.
if (by === "token") document.querySelector("#form form").action = `${access.base}/upload/${access.bucket}`;
document.body.dataset.ready = by;
