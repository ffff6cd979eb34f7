// The bits of every row's logit and probability, a tab between them:
//
//     node score.mjs MODULE.wasm MODEL.xsfm ROWS.words       rows of indices as `example_input::Table` decodes them
//     node score.mjs MODULE.wasm MODEL.xsfm ROWS.tsv --raw   raw values, a row per line, a tab between fields

import { readFile } from "node:fs/promises";

const [module, model, rows] = await Promise.all(process.argv.slice(2, 5).map((path) => readFile(path)));
const isRaw = process.argv[5] === "--raw";
if (!rows || (process.argv.length > 5 && !isRaw)) {
  console.error("usage: node score.mjs MODULE.wasm MODEL.xsfm ROWS [--raw]");
  process.exit(2);
}
const { exports: wasm } = (await WebAssembly.instantiate(module)).instance;

// Memory may move when it grows: a view is made only when it is used.
const modelAddress = wasm.model_room(model.length);
const rowsAddress = wasm.rows_room(Math.ceil(rows.length / 4));
new Uint8Array(wasm.memory.buffer).set(model, modelAddress);
new Uint8Array(wasm.memory.buffer).set(rows, rowsAddress);

const count = isRaw ? wasm.score_raw(rows.length) : wasm.score();
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
