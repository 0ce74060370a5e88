// A template designer in short: what an editor of cards does against Holdfast, from a new template to an older
// background that comes back. Copy what you need; in a browser it is the same code, with a File for `bytes`.
// Prints a line for each step that held; run by `tests/e2e/src/clients.rs`.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { bearer, held, setUp } from "./checks.mjs";

const images = new URL("../images/", import.meta.url);

/** One call; answers the JSON, with the entity tag of the record beside it. */
async function call(method, path, { body, headers = {} } = {}) {
  const answer = await fetch(`${setUp.url}/v1/templates${path}`, {
    method,
    headers: { ...bearer(setUp.token), ...headers },
    body: body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body),
  });
  const json = await answer.json();
  // Every error says what is wrong, for a person (`detail`) and for a program (`code`, `rule`).
  if (!answer.ok) throw Object.assign(new Error(json.detail), json);
  return { ...json, tag: answer.headers.get("etag") };
}

/** Changes the layout on top of whatever others changed meanwhile: reads, edits, writes, and again where it was late. */
async function edit(id, change) {
  for (;;) {
    const template = await call("GET", `/${id}`);
    try {
      return await call("PATCH", `/${id}`, { body: change(template), headers: { "if-match": template.tag } });
    } catch (error) {
      if (error.code !== "PreconditionFailed") throw error;
    }
  }
}

// ---- A new template: the layout is the editor's own, in millimetres here -------------------------------------

const layout = { page: { width: 85.6, height: 54 }, boxes: { name: { x: 5, y: 5, font: "Inter" } } };
const template = await call("POST", "", {
  body: { name: "Member card 2027", data: layout },
  // Pressed twice, or sent again after a lost answer: still one template.
  headers: { "idempotency-key": `designer-${process.pid}-${Date.now()}` },
});
assert.equal(template.background, null);
held("a template is made");

// ---- Its background: looked at before anybody sees it ---------------------------------------------------------

const png = await readFile(new URL("rgb.png", images));
const { background } = await call("PUT", `/${template.id}/background`, { body: png });
assert.deepEqual([background.contentType, background.width, background.height], ["image/png", 48, 32]);
held("a background is put, and its size is known");

const shown = await fetch(background.url, { headers: bearer(setUp.token) });
assert.deepEqual(Buffer.from(await shown.arrayBuffer()), png);
held("it is read where the record says");

for (const [bytes, rule] of [
  [Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>"), "image.format"],
  [png.subarray(0, png.length - 20), "image.truncated"],
  [Buffer.concat([png, Buffer.from("PK and more")]), "image.trailing"],
]) {
  await assert.rejects(call("PUT", `/${template.id}/background`, { body: bytes }), { rule });
  held(`what is no whole image is refused by ${rule}`);
}
assert.deepEqual((await call("GET", `/${template.id}`)).background, background);
held("and the background is what it was");

// ---- Two editors at once --------------------------------------------------------------------------------------

await Promise.all(
  ["title", "photo", "expiry", "barcode"].map((box, index) =>
    edit(template.id, ({ data }) => ({
      name: `Member card 2027, ${Object.keys(data.boxes).length + 1} boxes`,
      data: { boxes: { [box]: { x: 5, y: 10 * index } } },
    })),
  ),
);
const edited = await call("GET", `/${template.id}`);
assert.equal(edited.name, "Member card 2027, 5 boxes");
assert.equal(Object.keys(edited.data.boxes).length, 5);
held("no change of two editors is lost");

await call("PATCH", `/${template.id}`, { body: { data: { boxes: { barcode: null } } } });
const fewer = await call("GET", `/${template.id}`);
assert.ok(!("barcode" in fewer.data.boxes) && fewer.data.page.width === 85.6);
held("a box is removed by null, and the rest stays");

// ---- Another background, and back to the one before -----------------------------------------------------------

const avif = await readFile(new URL("plain.avif", images));
await call("PUT", `/${template.id}/background`, { body: avif });
const { backgrounds } = await call("GET", `/${template.id}/backgrounds`);
assert.deepEqual(backgrounds.map((it) => [it.contentType, it.current]), [["image/avif", true], ["image/png", false]]);
const restored = await call("POST", `/${template.id}/background/restore`, { body: { version: backgrounds[1].version } });
assert.deepEqual(restored.background, background);
held("the background before is current again");

await call("DELETE", `/${template.id}`);
await assert.rejects(call("GET", `/${template.id}`), { code: "NoSuchTemplate" });
held("a deleted template is gone");
