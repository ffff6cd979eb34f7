// What a page loads: the scripts, and one of the modules.

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { backends } from "xsdeepfwfm";

const MOST = 120_000;

test("each module with the scripts is small enough", async () => {
  const folder = fileURLToPath(new URL(".", import.meta.resolve("xsdeepfwfm")));
  const bytes = new Map();
  for (const name of await readdir(folder)) bytes.set(name, gzipSync(await readFile(folder + name), { level: 9 }).length);
  const scripts = [...bytes].filter(([name]) => name.endsWith(".js")).reduce((sum, [, size]) => sum + size, 0);
  assert.deepEqual([...bytes.keys()].filter((name) => name.endsWith(".wasm")), backends.map((name) => `xsfm-${name}.wasm`));
  for (const backend of backends) {
    const size = scripts + bytes.get(`xsfm-${backend}.wasm`);
    console.log(`${backend}: ${size} bytes, ${scripts} of them JavaScript, compressed by gzip`);
    assert.ok(size < MOST, `${backend}: ${size} bytes, ${MOST} allowed`);
  }
});
