// A folder behind a server on this machine alone, in Debian's Chromium.

import { createServer } from "node:http";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { pathToFileURL } from "node:url";

const TYPES = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];

/** Serves a folder; gives its URL, and what ends it. */
async function serve(folder) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
    const name = path.endsWith("/") ? `${path}index.html` : path;
    try {
      const body = await readFile(join(folder, name));
      response.writeHead(200, { "content-type": TYPES[extname(name)] ?? "application/octet-stream" }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

/** Opens the page of a folder in a browser of its own; gives the page, its URL, and what ends both. */
export async function open(folder, { packages, chromium, ...options }) {
  const { chromium: driver } = await import(pathToFileURL(join(packages, "node_modules/playwright-core/index.mjs")));
  const server = await serve(folder);
  const profile = await mkdtemp(join(tmpdir(), "xsfm-chromium-"));
  const browser = await driver.launchPersistentContext(profile, { executablePath: chromium, args: FLAGS, ...options });
  const [page] = browser.pages();
  const close = async () => {
    await browser.close();
    server.close();
    await rm(profile, { recursive: true, force: true });
  };
  return { page, url: server.url, close };
}
