// The page in Chromium: its numbers are those of `xsfm`, to the bit; it is used by keyboard, and on a phone.

import assert from "node:assert/strict";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";

import { open } from "./browser.js";
import { file, path, ranked, scored } from "./common.js";

const { XSFM_PAGE: folder, XSFM_PACKAGES: packages, XSFM_CHROMIUM: chromium } = process.env;
const CONTEXT = "user,age,gender,occupation";
const PHONE = { width: 375, height: 740 };

const data = JSON.parse(await readFile(join(folder, "demo.json")));
const scratch = await mkdtemp(join(tmpdir(), "xsfm-page-"));
let [browser, page] = [null, null];
const problems = [];

before(async () => {
  browser = await open(folder, { packages, chromium });
  page = browser.page;
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("request", (request) => request.url().startsWith(browser.url) || problems.push(`asked ${request.url()}`));
});
after(async () => {
  await browser?.close();
  assert.deepEqual(problems, []);
});
beforeEach(async () => {
  await page.setViewportSize({ width: 1200, height: 900 });
  await page.goto(browser.url);
  await page.waitForSelector("#ranked tr");
});

/** What `xsfm rank` says of the page's films for a person. */
async function expected(person) {
  const rows = join(scratch, "rows.jsonl");
  await writeFile(rows, data.films.map((film) => JSON.stringify({ ...person, ...film }) + "\n").join(""));
  return ranked(join(folder, "model.xsfm"), "--raw", rows, "--context", CONTEXT);
}

const shown = () =>
  page.$$eval("#ranked tr", (rows) =>
    rows.map(({ dataset: { candidate, logit, probability } }) => {
      return { candidate: Number(candidate), logit: Number(logit), probability: Number(probability) };
    }),
  );
const isWithin = (width) => page.evaluate((width) => document.documentElement.scrollWidth <= width, width);

test("films are ranked as xsfm does, for whoever is edited", async () => {
  assert.deepEqual(await shown(), await expected(data.people[0]));
  assert.match(await page.textContent("#speed"), /1,4\d\d films ranked in [\d.]+ ms: [\d.]+ µs each/);
  // Another user of the data, whose other fields follow.
  const person = data.people.find(({ user }) => user === "7");
  await page.locator("#user").getByLabel("User").fill("7");
  assert.equal(await page.locator("#user").getByLabel("Occupation").inputValue(), person.occupation);
  assert.deepEqual(await shown(), await expected(person));
  const other = { ...person, age: "12", gender: person.gender === "M" ? "F" : "M" };
  await page.locator("#user").getByLabel("Age").fill(other.age);
  await page.locator("#user").getByLabel("Gender").selectOption(other.gender);
  assert.deepEqual(await shown(), await expected(other));
});

test("what a score is the sum of is shown", async () => {
  const [{ candidate, logit }] = await shown();
  assert.equal(await page.getAttribute("#score", "data-logit"), String(logit));
  assert.equal(await page.textContent("#why-title"), `Why: ${data.titles[candidate]}`);
  const [bias, layers] = await page.$eval("#score", ({ dataset }) => [Number(dataset.bias), Number(dataset.layers)]);
  const shares = await page.$$eval("#shares tr", (rows) => rows.map((row) => Number(row.cells[1].textContent.replace("−", "-"))));
  assert.ok(shares.length > 10 && shares.some((share) => share < 0));
  assert.ok(Math.abs(shares.reduce((sum, share) => sum + share, bias + layers) - logit) < 1e-4 * shares.length);
});

test("every back end has xsfm's bits in Chromium too", async () => {
  const rows = data.films.map((film) => ({ ...data.people[0], ...film }));
  const table = join(scratch, "whole.jsonl");
  await writeFile(table, rows.map((row) => JSON.stringify(row) + "\n").join(""));
  const want = scored(join(folder, "model.xsfm"), "--raw", table);
  const found = await page.evaluate(async (rows) => {
    const { Model, backends } = await import("./xsdeepfwfm/index.js");
    const of = async (backend) => {
      const model = await Model.load(new URL("model.xsfm", location.href), { backend });
      return [model.info.backend, model.score(rows)];
    };
    return Promise.all(backends.map(of));
  }, rows);
  assert.deepEqual(found, [["portable", want], ["simd128", want]]);
});

test("everything can be done by keyboard", async () => {
  const focused = () => page.evaluate(() => document.activeElement.name || document.activeElement.id || document.activeElement.dataset.candidate);
  const stops = [];
  await page.keyboard.press("Tab");
  for (let n = 0; n < 20 && stops.at(-1) !== "occupation"; n++) {
    stops.push(await focused());
    if (stops.at(-1) === "user") {
      await page.keyboard.press("Control+A");
      await page.keyboard.type("9");
    }
    await page.keyboard.press("Tab");
  }
  assert.deepEqual(stops, ["file", "user", "age", "gender", "occupation"]);
  assert.deepEqual(await shown(), await expected(data.people.find(({ user }) => user === "9")));
  // The focus is on the first film; the second is explained.
  await page.keyboard.press("Tab");
  const [, second] = await shown();
  assert.equal(await focused(), String(second.candidate));
  await page.keyboard.press("Enter");
  assert.equal(await page.getAttribute("#score", "data-logit"), String(second.logit));
  assert.equal(await page.getAttribute(`[data-candidate="${second.candidate}"] button`, "aria-pressed"), "true");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, "solid");
});

test("everything has a name, for those who do not see it", async () => {
  await page.setInputFiles("#file", path("tests/fixtures/raw-values/model.xsfm"));
  await page.waitForSelector("#row:not([hidden])");
  const nameless = await page.evaluate(() => {
    const named = (element) => element.labels?.length > 0 || element.textContent.trim() || element.ariaLabel;
    return [...document.querySelectorAll("input, select, button, svg, table, section")]
      .filter((element) => !(named(element) || document.getElementById(element.getAttribute("aria-labelledby"))))
      .map((element) => element.outerHTML.slice(0, 80));
  });
  assert.deepEqual(nameless, []);
  assert.equal(await page.getAttribute("html", "lang"), "en");
  assert.equal(await page.locator("h1").count(), 1);
});

test("a file that is opened can be scored", async () => {
  await page.getByLabel("Look inside").setInputFiles(path("tests/fixtures/raw-values/model.xsfm"));
  await page.locator("#values").getByLabel("user").fill("chloé");
  await page.locator("#values").getByLabel("genres").fill("comedy, western");
  await page.locator("#values").getByLabel("price").fill("7.75");
  await page.locator("#values").getByLabel("when").fill("2026-03-05T21:00:00");
  const row = join(scratch, "row.jsonl");
  const raw = { user: "chloé", genres: ["comedy", "western"], price: "7.75", when: "2026-03-05T21:00:00" };
  await writeFile(row, JSON.stringify(raw) + "\n");
  const [want] = scored(path("tests/fixtures/raw-values/model.xsfm"), "--raw", row);
  assert.equal(await page.getAttribute("#score", "data-logit"), String(want.logit));
  await page.locator("#values").getByLabel("price").fill("cheap");
  assert.match(await page.textContent("#row-error"), /field "price": not a number/);
  assert.ok(await page.isHidden("#films"));
  await page.getByRole("button", { name: "Back to the films" }).click();
  await page.waitForSelector("#films:not([hidden])");
  assert.ok(await page.isHidden("#row"));
});

/** Drops a file of these bytes on the page. */
async function drop(bytes, name) {
  const transfer = await page.evaluateHandle(
    ([base64, name]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], name));
      return transfer;
    },
    [bytes.toString("base64"), name],
  );
  for (const type of ["dragover", "drop"]) await page.dispatchEvent("main", type, { dataTransfer: transfer });
}

test("a file that is dropped is looked into, and a damaged one says what is wrong", async () => {
  const student = await file("tests/fixtures/movielens-student-qr/model.xsfm");
  await drop(student, "qr.xsfm");
  await page.waitForFunction(() => document.getElementById("model").textContent.startsWith("qr.xsfm: 29,828 bytes, int8"));
  assert.match(await page.textContent("#fields"), /quotient × remainder/);
  const bytes = await page.$$eval("#bytes tr", (rows) => rows.map((row) => Number(row.cells[1].textContent.replaceAll(",", ""))));
  assert.equal(bytes.reduce((sum, count) => sum + count, 0), student.length);
  const damaged = Buffer.from(student);
  damaged[9000] ^= 1;
  await drop(damaged, "damaged.xsfm");
  await page.waitForSelector("#error:not([hidden])");
  assert.match(await page.textContent("#error"), /^damaged.xsfm: damaged file: checksum 0x[0-9a-f]{8} stored, 0x[0-9a-f]{8} computed$/);
  assert.match(await page.textContent("#model"), /^qr.xsfm/);
  await drop(Buffer.from("no model"), "notes.txt");
  await page.waitForFunction(() => document.getElementById("error").textContent.startsWith("notes.txt: "));
  await drop(student, "qr.xsfm");
  await page.waitForSelector("#error", { state: "hidden" });
});

test("on a phone nothing is wider than the screen", async () => {
  await page.setViewportSize(PHONE);
  assert.ok(await isWithin(PHONE.width), "films");
  await drop(await file("tests/fixtures/raw-values/model.xsfm"), "a-name-that-is-longer-than-the-screen-of-a-phone-is-wide.xsfm");
  await page.waitForSelector("#row:not([hidden])");
  assert.ok(await isWithin(PHONE.width), "a file of another");
  await drop(Buffer.from("no model"), "another-name-that-is-longer-than-the-screen-of-a-phone-is-wide.xsfm");
  await page.waitForSelector("#error:not([hidden])");
  assert.ok(await isWithin(PHONE.width), "an error");
});
