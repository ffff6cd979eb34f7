// What is wrong is named: the file, the row, the field.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Model, ModelError, RowError, XsfmError, backends } from "xsdeepfwfm";

import { file, model } from "./common.js";

const row = { user: "chloé", genres: ["comedy"], price: 7.75, when: "2026-03-05T21:00:00" };

/** The error that a call throws. */
function thrown(call) {
  try {
    call();
  } catch (error) {
    return error;
  }
  assert.fail("nothing was thrown");
}

test("rows that do not fit are named, with the field", async () => {
  const clicks = await model("raw-values");
  const student = await model("movielens-student");
  const cases = [
    [() => clicks.score({ user: "x" }), 0, null, /no "genres", "price", "when"/],
    [() => clicks.score([row, { ...row, color: 1 }]), 1, null, /"color"/],
    [() => clicks.score([row, row, { ...row, price: "cheap" }]), 2, "price", /not a number/],
    [() => clicks.score({ ...row, price: NaN }), 0, "price", /not a number/],
    [() => clicks.score({ ...row, user: 0.5 }), 0, "user", /not a number/],
    [() => clicks.score({ ...row, user: ["a", "b"] }), 0, "user", /several values/],
    [() => clicks.score({ ...row, when: "soon" }), 0, "hour", /bytes/],
    [() => clicks.score({ ...row, price: true }), 0, "price", /a text, a number/],
    [() => clicks.score([null]), 0, null, /an object/],
    [() => clicks.score([[1, 1, 1]]), 0, null, /3 indices/],
    [() => clicks.score([[1, -1, 1, 1]]), 0, "genres", /an index/],
    [() => clicks.score([[1, 1, 1e6, 1]]), 0, "price", /index 1000000/],
    [() => clicks.score([[1, [], 1, 1]]), 0, "genres", /empty/],
    [() => clicks.score([[1, 1, [1, 2], 1]]), 0, "price", /2 indices/],
    [() => clicks.explain({ ...row, price: "cheap" }), 0, "price", /not a number/],
    [() => clicks.rank({ users: "chloé" }, []), null, null, /"users"; it has "user"/],
    [() => clicks.rank({ user: ["a", "b"] }, []), null, "user", /several values/],
    [() => clicks.rank({ user: "a" }, [{ genres: "", price: 1, when: row.when }, row]), 1, null, /"user"/],
    [() => clicks.rank(row, [{}]), null, null, /none is left/],
    [() => clicks.encode([row], { context: ["film"] }), null, null, /"film"/],
    [() => student.score(Object.fromEntries(student.fields.map(({ name }) => [name, 1]))), 0, "user", /vocabulary/],
    [() => student.rank({ user: 1e6 }, [[1, 1, 1, 1, 1, [1]]]), null, "user", /index 1000000/],
    [() => student.rank({ user: 1 }, [[1, 1, 1, 1, 1, [1]], [1, 1, 1, 1, 1e6, [1]]]), 1, "release_year", /1000000/],
  ];
  for (const [call, number, field, message] of cases) {
    const error = thrown(call);
    assert.ok(error instanceof RowError && error instanceof XsfmError, `${call}: ${error.stack}`);
    assert.deepEqual([error.row, error.field, error.name], [number, field, "RowError"], `${call}: ${error.message}`);
    assert.match(error.message, message, String(call));
  }
  // None of them has left anything behind.
  assert.equal(clicks.score([row, row]).length, 2);
});

test("a damaged file is refused, whatever its bytes", async () => {
  const whole = new Uint8Array(await file("tests/fixtures/raw-values/model.xsfm"));
  const messages = new Set();
  for (let at = 0; at < whole.length; at += 7) {
    const bytes = whole.slice();
    bytes[at] ^= 0x55;
    const error = await Model.load(bytes, { backend: backends[at % backends.length] }).catch((error) => error);
    assert.ok(error instanceof ModelError, `byte ${at}: ${error}`);
    messages.add(error.message.replaceAll(/0x\w+/g, ""));
  }
  assert.ok([...messages].some((message) => /damaged file/.test(message)), [...messages].join("; "));
  for (const length of [0, 1, 31, 32, 100, whole.length - 1]) {
    await assert.rejects(Model.load(whole.subarray(0, length)), { name: "ModelError", message: /truncated|not an/ });
  }
});

test("what is no model at all is a TypeError, and a missing one an error", async () => {
  await assert.rejects(Model.load("clicks.xsfm"), TypeError);
  await assert.rejects(Model.load(), TypeError);
  await assert.rejects(Model.load(new Response("", { status: 404 })), { name: "XsfmError", message: /404/ });
  await assert.rejects(Model.load(new Uint8Array(), { backend: "avx2" }), { name: "XsfmError", message: /avx2/ });
});

test("rows and models are gone once they were disposed of", async () => {
  const [clicks, other] = [await model("raw-values"), await model("raw-values")];
  const kept = clicks.encode([row]);
  assert.throws(() => other.score(kept), /another model/);
  const candidates = clicks.encode([{ genres: "", price: 1, when: row.when }]);
  assert.throws(() => clicks.score(candidates), /3 of 4 fields/);
  assert.throws(() => clicks.rank({ when: row.when }, candidates), /candidates have "genres", "price", "when"/);
  kept.dispose();
  kept.dispose();
  assert.throws(() => clicks.score(kept), XsfmError);
  clicks.dispose();
  candidates.dispose();
  assert.throws(() => clicks.score(row), /disposed/);
});
