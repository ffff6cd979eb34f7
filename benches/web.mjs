// Nanoseconds a row of the npm package, with SIMD128 and without, in turns:
//
//     cargo xtask npm
//     cargo run --package xsfm-benches --bin models -- target/web 64-64-64 400-400-400
//     node benches/web.mjs target/npm/package target/web 64-64-64 400-400-400

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const ROUNDS = 31;
/** Milliseconds that a back end has in each round. */
const TURN = 40;

const [folder, models, ...names] = process.argv.slice(2);
if (names.length === 0) {
  console.error("usage: node web.mjs PACKAGE MODELS NAME...");
  process.exit(2);
}
const { Model, backends } = await import(pathToFileURL(resolve(folder, "index.js")));
const words = await readFile(`${models}/samples.u32`);
const samples = Array.from({ length: words.length / 4 }, (_, n) => words.readUInt32LE(4 * n));
const median = (numbers) => numbers.sort((one, other) => one - other)[numbers.length >> 1];

for (const name of names) {
  for (const mode of ["int8", "f32"]) {
    const bytes = await readFile(`${models}/${name}/${mode}.xsfm`);
    const runs = [];
    for (const backend of backends) {
      const model = await Model.load(bytes, { backend });
      const fields = model.fields.length;
      const table = Array.from({ length: samples.length / fields }, (_, row) => samples.slice(row * fields, (row + 1) * fields));
      const rows = model.encode(table);
      // Until the engine has compiled it well.
      for (const start = performance.now(); performance.now() - start < 10 * TURN; ) model.score(rows);
      runs.push({ backend, model, rows, ns: [] });
    }
    if (mode === "int8") {
      const [one, ...others] = runs.map(({ model, rows }) => JSON.stringify(model.score(rows)));
      if (others.some((other) => other !== one)) throw new Error(`${name}: the back ends disagree`);
    }
    for (let round = 0; round < ROUNDS; round++) {
      for (const { model, rows, ns } of runs) {
        let [count, start, now] = [0, performance.now(), 0];
        do {
          model.score(rows);
          count += rows.length;
          now = performance.now();
        } while (now - start < TURN);
        ns.push((1e6 * (now - start)) / count);
      }
    }
    const [portable, simd] = runs.map(({ ns }) => median(ns));
    const figures = `portable ${portable.toFixed(0)} ns a row, simd128 ${simd.toFixed(0)} ns`;
    console.log(`${name} ${mode}: ${figures}: ${(portable / simd).toFixed(1)} times as fast`);
  }
}
