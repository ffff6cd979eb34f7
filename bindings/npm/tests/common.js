// What tests share: the repository's models and its program, whose scores the package's must equal to the bit.

import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";

import { Model } from "xsdeepfwfm";

const { XSFM, XSFM_ROOT } = process.env;
if (!XSFM || !XSFM_ROOT) throw new Error("XSFM names the program xsfm, XSFM_ROOT the repository: cargo xtask test browser");

/** A file of the repository. */
export const path = (name) => `${XSFM_ROOT}/${name}`;
export const file = (name) => readFile(path(name));
export const model = async (name, options) => Model.load(await file(`tests/fixtures/${name}/model.xsfm`), options);

const xsfm = (...words) => execFileSync(XSFM, words, { encoding: "utf8", maxBuffer: 1 << 28 });

/** What `xsfm score` gives: the shortest digits that restore an f32. */
export function scored(model, ...rows) {
  const scores = xsfm("score", model, ...rows).trimEnd().split("\n");
  return scores.map((line) => {
    const [logit, probability] = line.split("\t").map(Number).map(Math.fround);
    return { logit, probability };
  });
}

/** What `xsfm rank` gives. */
export function ranked(model, ...words) {
  return JSON.parse(xsfm("rank", model, "--json", ...words)).map(({ row, logit, probability }) => {
    return { candidate: row - 1, logit: Math.fround(logit), probability: Math.fround(probability) };
  });
}

/** Lines of tokens, a tab between fields, `|` between the tokens of a bag. */
export const lines = (text) => text.trimEnd().split("\n").map((line) => line.split("\t"));
