// Scores, ranks and explanations are those of `xsfm`, to the bit, on every back end.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "node:test";

import { Model, backends } from "xsdeepfwfm";

import { file, lines, model, path, ranked, scored } from "./common.js";

const CLICKS = "tests/fixtures/raw-values";
const rows = lines(String(await file("firmware-examples/programs/raw.tsv"))).map(([user, genres, price, when]) => {
  return { user, genres: genres === "" ? [] : genres.split("|"), price, when };
});
const asJson = join(tmpdir(), `xsfm-${process.pid}.jsonl`);
await writeFile(asJson, rows.map((row) => JSON.stringify(row) + "\n").join(""));

assert.deepEqual(backends, ["portable", "simd128"], "this engine should have both");

for (const backend of backends) {
  test(`${backend}: raw values are scored as xsfm does`, async () => {
    const clicks = await model("raw-values", { backend });
    assert.equal(clicks.info.backend, backend);
    const expected = scored(path(`${CLICKS}/model.xsfm`), "--raw", asJson);
    assert.deepEqual(clicks.score(rows), expected);
    assert.deepEqual(rows.map((row) => clicks.score(row)), expected);
    assert.deepEqual(clicks.score(clicks.encode(rows)), expected);
    // A bag in one text, a price as a number.
    const other = rows.map((row) => ({ ...row, genres: row.genres.join("|"), price: row.price && Number(row.price) }));
    assert.deepEqual(clicks.score(other), expected);
    assert.ok(new Set(expected.map(({ logit }) => logit)).size > rows.length / 2);
  });

  for (const name of ["movielens-student", "movielens-student-qr"]) {
    test(`${backend}: indices of ${name} are scored as xsfm does`, async () => {
      const student = await model(name, { backend });
      const table = path("firmware-examples/programs/rows.tsv");
      const indices = lines(String(await file("firmware-examples/programs/rows.tsv"))).map((line) => {
        return line.map((field, f) => (student.fields[f].bag ? field.split("|").map(Number) : Number(field)));
      });
      const expected = scored(path(`tests/fixtures/${name}/model.xsfm`), "--indices", table);
      assert.deepEqual(student.score(indices), expected);
      assert.deepEqual(indices.map((row) => student.score(row)), expected);
      const single = Uint32Array.of(7, 42, 1, 1, 3, 5, 2);
      assert.deepEqual(student.score(single), student.score([...single]));
    });
  }

  test(`${backend}: candidates are ranked as xsfm does`, async () => {
    const clicks = await model("raw-values", { backend });
    const context = { user: "chloé", when: "2026-03-05T21:00:00" };
    const candidates = rows.map(({ genres, price }) => ({ genres, price }));
    const whole = join(tmpdir(), `xsfm-${process.pid}-${backend}.jsonl`);
    await writeFile(whole, candidates.map((row) => JSON.stringify({ ...context, ...row }) + "\n").join(""));
    const expected = ranked(path(`${CLICKS}/model.xsfm`), "--raw", whole, "--top", "20", "--context", "user,hour");
    assert.equal(expected.length, 20);
    assert.deepEqual(clicks.rank(context, candidates, 20), expected);
    const kept = clicks.encode(candidates);
    assert.deepEqual(clicks.rank(context, kept, 20), expected);
    assert.equal(clicks.rank(context, kept, 1e6).length, rows.length);
    // The context's other half, then the first again.
    const others = rows.map(({ user, when }) => ({ user, when }));
    const { genres, price } = rows[0];
    const best = clicks.rank({ genres, price }, others, 3);
    const all = clicks.score(others.map((row) => ({ ...row, genres, price })));
    assert.deepEqual(best.map(({ candidate, ...score }) => score), best.map(({ candidate }) => all[candidate]));
    assert.deepEqual(clicks.rank(context, kept, 20), expected);
  });

  test(`${backend}: candidates of indices are ranked with the bits of whole rows`, async () => {
    const student = await model("movielens-student", { backend });
    const films = [[42, 5, [2, 9]], [43, 6, [9]], [44, 7, [1]]];
    const context = { user: 7, age: 1, gender: 1, occupation: 3 };
    const whole = student.score(films.map(([item, year, genres]) => [7, item, 1, 1, 3, year, genres]));
    const best = student.rank(context, films);
    assert.deepEqual(best.map(({ candidate, ...score }) => score), best.map(({ candidate }) => whole[candidate]));
    assert.deepEqual(student.rank(context, student.encode(films, { context: Object.keys(context) })), best);
  });

  test(`${backend}: what fields and pairs add sums to the logit`, async () => {
    const clicks = await model("raw-values", { backend });
    let different = 0;
    for (const row of rows.slice(0, 50)) {
      const { logit, probability, bias, layers, fields, pairs } = clicks.explain(row);
      const sum = [bias, layers, ...fields.map(({ share }) => share), ...pairs.map(({ share }) => share)];
      assert.equal(sum.reduce((one, other) => one + other), logit);
      assert.deepEqual({ logit, probability }, clicks.score(row));
      assert.deepEqual(fields.map(({ field }) => field), ["user", "genres", "price", "hour"]);
      assert.equal(pairs.length, 6);
      different += pairs.filter(({ share }) => share !== 0).length;
    }
    assert.ok(different > 50, `${different} pairs that add something`);
  });
}

test("a model comes from bytes, a view, a Blob, a Response or a URL", async () => {
  const bytes = await file(`${CLICKS}/model.xsfm`);
  const copy = Uint8Array.from(bytes);
  const sources = [
    copy.buffer,
    new Uint8Array([0, ...copy]).subarray(1),
    new Blob([copy]),
    new Response(copy),
    pathToFileURL(path(`${CLICKS}/model.xsfm`)),
  ];
  for (const source of sources) assert.equal((await Model.load(source)).info.fileBytes, copy.length);
});

test("what the file holds is told", async () => {
  const { info, fields } = await model("raw-values");
  assert.deepEqual([info.mode, info.label, info.hasVocabulary, info.embedDim], ["int8", "click is 1", true, 4]);
  assert.deepEqual(fields.map(({ column, bag, numeric }) => [column, bag, numeric]), [
    ["user", false, false],
    ["genres", true, false],
    ["price", false, true],
    ["when", false, false],
  ]);
  assert.ok(info.sections.every(({ offset, bytes }) => offset + bytes <= info.fileBytes));
});
