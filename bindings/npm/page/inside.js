// What a file holds, and a row of one's own.

import { bar, by, grouped, make, number, row, tell } from "./elements.js";
import * as shares from "./shares.js";

const EMBEDDINGS = {
  full: "a row each",
  mult: "quotient × remainder",
  add: "quotient + remainder",
  concat: "quotient | remainder",
};

/** Sections by which raw values become indices. */
const VOCABULARY = new Set(["Encoders", "Pilots", "Slots", "Steps", "Tokens", "RawInput"]);

/** Bytes of a file without what raw values mean. */
export function bytesWithoutVocabulary({ fileBytes, sections }) {
  const vocabulary = sections.filter(({ name }) => VOCABULARY.has(name));
  return fileBytes - vocabulary.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Shows a file of this name. */
export function show(name, { info }) {
  by("model").textContent = `${name}: ${grouped(info.fileBytes)} bytes, ${info.mode}, scored by ${info.backend}`;
  const facts = {
    Label: info.label || "not stated",
    "Written by": info.producer,
    "Vector length": info.embedDim,
    "Trained numbers": grouped(info.parameters),
    "Multiply-accumulates": `${grouped(info.multiplyAccumulates)} a score`,
    "Raw values": info.hasVocabulary ? "taken" : "not taken: indices alone",
  };
  by("facts").replaceChildren(
    ...Object.entries(facts).flatMap(([fact, value]) => [make("dt", {}, fact), make("dd", {}, String(value))]),
  );
  by("fields").replaceChildren(
    ...info.fields.map((field) => {
      const kind = [field.bag ? "bag" : field.numeric ? "number" : null, EMBEDDINGS[field.embedding]];
      const heading = `${field.name} (${kind.filter(Boolean).join(", ")})`;
      return row(heading, number(grouped(field.features)), number(grouped(field.parameters)), number(field.bits));
    }),
  );
  const first = info.sections[0]?.offset ?? info.fileBytes;
  const parts = [{ name: "Prefix and manifest", bytes: first }, ...info.sections];
  parts.push({ name: "Padding", bytes: info.fileBytes - parts.reduce((sum, { bytes }) => sum + bytes, 0) });
  const largest = Math.max(...parts.map(({ bytes }) => bytes));
  by("bytes").replaceChildren(
    ...parts.map(({ name, bytes }) => row(name, number(grouped(bytes)), bar(bytes / largest))),
  );
  by("inside").hidden = false;
}

/** A form for a row of the model: raw values, or indices where it takes no others. */
export function form(model) {
  const { hasVocabulary } = model.info;
  const inputs = model.fields.map(({ column, bag, features }) => {
    const hint = hasVocabulary ? (bag ? "one, another" : "") : bag ? "1, 2" : `0 to ${features - 1}`;
    return make("input", { name: column, autocomplete: "off", placeholder: hint, value: hasVocabulary ? "" : "0" });
  });
  const values = by("values");
  values.replaceChildren(...inputs.map((input) => make("label", {}, input.name, input)));
  const score = () => {
    const texts = inputs.map((input) => input.value.trim());
    const list = (text) => text.split(",").map((part) => part.trim());
    const value = ({ bag }, text) => (bag ? (text === "" ? [] : list(text)) : text === "" ? null : text);
    // What is no number stays none: the model says so.
    const index = ({ bag }, text) => (bag ? list(text).map(Number) : Number(text || NaN));
    try {
      const row = hasVocabulary
        ? Object.fromEntries(model.fields.map((field, f) => [field.column, value(field, texts[f])]))
        : model.fields.map((field, f) => index(field, texts[f]));
      shares.show("this row", model.explain(row));
      tell(by("row-error"), null);
    } catch (error) {
      tell(by("row-error"), error.message);
      by("why").hidden = true;
    }
  };
  values.oninput = score;
  values.onsubmit = (event) => event.preventDefault();
  by("row").hidden = false;
  score();
}
