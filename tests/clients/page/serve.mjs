// The application's own server: it has the page, and tells the page of a signed-in user what it may do. Another origin
// than Holdfast's, as it mostly is.
//
//     cargo xtask up                                # in one terminal
//     source .holdfast/dev.env                      # in another
//     npm ci --prefix tests/clients
//     node tests/clients/page/serve.mjs             # says where the page is

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** How long an upload token lives, in seconds: longer than any upload takes. */
const TOKEN_SECONDS = 24 * 3_600;

const beside = (name) => fileURLToPath(new URL(name, import.meta.url));

/**
 * Serves the page on 127.0.0.1; answers its address and how to stop. `bearer` makes a bearer token for the user.
 *
 * What it hands out is for `prefix` of `bucket`.
 */
export async function serve({ url, bearer, bucket = "documents", prefix = "page/", port = 0 }) {
  // One step for the browser, as Vite or webpack would do it.
  const bundle = { entryPoints: [beside("page.mjs")], bundle: true, format: "esm", target: "es2022", write: false };
  const { outputFiles } = await build({ ...bundle, logLevel: "error" });
  const files = {
    "/": ["text/html", await readFile(beside("index.html"))],
    "/page.js": ["text/javascript", outputFiles[0].contents],
  };

  /** By the user's right, and no further than the prefix: whoever sees it can do nothing else. */
  async function uploadToken() {
    const answer = await fetch(`${url}/v1/tokens`, {
      method: "POST",
      headers: { authorization: `Bearer ${await bearer()}` },
      body: JSON.stringify({ bucket, prefix, expiresIn: TOKEN_SECONDS }),
    });
    if (!answer.ok) throw new Error(await answer.text());
    return (await answer.json()).token;
  }

  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://page");
    const send = (status, type, body) => {
      response.writeHead(status, { "content-type": `${type}; charset=utf-8`, "cache-control": "no-store" });
      response.end(body);
    };
    try {
      if (pathname === "/access") {
        const token = await (searchParams.get("by") === "bearer" ? bearer() : uploadToken());
        return send(200, "application/json", JSON.stringify({ url, bucket, prefix, token }));
      }
      const file = files[pathname];
      return file ? send(200, ...file) : send(404, "text/plain", "Not here");
    } catch (error) {
      return send(500, "text/plain", error.message);
    }
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  const stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { address: `http://127.0.0.1:${server.address().port}`, stop };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { HOLDFAST_URL: url, HOLDFAST_TOKEN: token } = process.env;
  if (!url || !token) throw new Error("Set HOLDFAST_URL and HOLDFAST_TOKEN: `source .holdfast/dev.env`");
  const { address } = await serve({ url, bearer: () => token, port: Number(process.env.PORT ?? 8090) });
  console.log(`The page is at ${address}`);
}
