// node score.mjs MODULE.wasm MODEL.xsfm ROWS.words: the bits of every row's logit and probability, a tab between them.

import { readFile } from "node:fs/promises";

const [module, model, rows] = await Promise.all(process.argv.slice(2, 5).map((path) => readFile(path)));
if (!rows) {
  console.error("usage: node score.mjs MODULE.wasm MODEL.xsfm ROWS.words");
  process.exit(2);
}
const { exports: wasm } = (await WebAssembly.instantiate(module)).instance;

// Memory may move when it grows: a view is made only when it is used.
const modelAddress = wasm.model_room(model.length);
const rowsAddress = wasm.rows_room(rows.length / 4);
new Uint8Array(wasm.memory.buffer).set(model, modelAddress);
new Uint8Array(wasm.memory.buffer).set(rows, rowsAddress);

const count = wasm.score();
if (count < 0) {
  const message = new Uint8Array(wasm.memory.buffer, wasm.message_address(), wasm.message_len());
  console.error(`score.mjs: ${new TextDecoder().decode(message)}`);
  process.exit(1);
}
const scores = new Uint32Array(wasm.memory.buffer, wasm.scores_address(), 2 * count);
const bits = (word) => word.toString(16).padStart(8, "0");
for (let row = 0; row < count; row++) {
  console.log(`${bits(scores[2 * row])}\t${bits(scores[2 * row + 1])}`);
}
