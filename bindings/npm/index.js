// Scores, ranks and explains by packed DeepFwFM models. Each model is an instance of WebAssembly of its own, whose memory
// goes with it. `index.d.ts` has the words for users.

import { backends, bytesOf, compiled } from "./bytes.js";
import { ModelError, RowError, XsfmError, quoted } from "./errors.js";
import { Writer } from "./writer.js";

export { ModelError, RowError, XsfmError, backends };

const decoder = new TextDecoder();

/** Whether it is a row of indices; otherwise it is an object of raw values. */
const isIndices = (row) => Array.isArray(row) || ArrayBuffer.isView(row);
/** Whether it is one row: an array is several, unless there is a number in it. */
const isRow = (data) =>
  ArrayBuffer.isView(data) || !Array.isArray(data) || data.some((value) => typeof value === "number");

/** Rows that are kept in the module, by a number. */
class Rows {
  #forget;

  constructor(model, id, length, fields, areIndices, forget) {
    Object.assign(this, { model, id, length, fields, areIndices });
    Object.freeze(this);
    this.#forget = forget;
  }

  dispose() {
    this.#forget();
  }
}

export class Model {
  #wasm;
  #info;
  #numbers;
  #kept = new Set();

  static async load(source, { backend = backends.at(-1) } = {}) {
    const [module, bytes] = await Promise.all([compiled(backend), bytesOf(source)]);
    const model = new Model();
    model.#wasm = (await WebAssembly.instantiate(module)).exports;
    model.#put(bytes);
    model.#check(model.#wasm.load(bytes.length));
    const { rawInput, ...info } = JSON.parse(model.#text());
    // Raw values have the names of their columns; but several fields may have one column of times.
    const columns = new Map();
    for (const { name, column, time } of (rawInput && JSON.parse(rawInput).fields) ?? []) {
      if (!time && typeof column === "string") columns.set(name, column);
    }
    const fields = info.fields.map((field) => ({ ...field, column: columns.get(field.name) ?? field.name }));
    model.#info = { ...info, fields };
    model.#numbers = new Map(fields.map(({ column }, number) => [column, number]));
    return model;
  }

  get info() {
    return this.#info;
  }

  get fields() {
    return this.#info.fields;
  }

  dispose() {
    this.#wasm = null;
    this.#kept.clear();
  }

  encode(rows, { context = [] } = {}) {
    const first = rows[0];
    const given = first === undefined || isIndices(first) ? null : this.#fieldsOf(Object.keys(Object(first)), 0);
    const ofContext = new Set(this.#fieldsOf(context, null));
    return this.#keep(rows, given ?? this.#others(ofContext));
  }

  score(rows) {
    const isOne = !(rows instanceof Rows) && isRow(rows);
    const scores = this.#with(rows, () => this.#keep(isOne ? [rows] : rows, this.#others(new Set())), (kept) => {
      if (kept.fields.length !== this.fields.length) {
        throw new XsfmError(`rows of ${kept.fields.length} of ${this.fields.length} fields can be ranked, not scored`);
      }
      const numbers = this.#answer(2 * this.#check(this.#exports().score(kept.id)));
      return Array.from({ length: kept.length }, (_, row) => score(numbers.subarray(2 * row)));
    });
    return isOne ? scores[0] : scores;
  }

  rank(context, candidates, k = 10) {
    const fields = this.#fieldsOf(Object.keys(context), null);
    const others = this.#others(new Set(fields));
    if (others.length === 0) throw new RowError(null, null, "it has every field: none is left for candidates");
    return this.#with(candidates, () => this.#keep(candidates, others), (candidates) => {
      if (candidates.fields.join() !== others.join()) {
        const names = ({ fields }) => quoted(fields.map((field) => this.fields[field].column));
        throw new XsfmError(`candidates have ${names(candidates)}, with this context ${names({ fields: others })} expected`);
      }
      const row = candidates.areIndices ? fields.map((field) => context[this.fields[field].column]) : context;
      return this.#with(null, () => this.#keep([row], fields, true), (context) => {
        const count = this.#check(this.#exports().rank(context.id, candidates.id, Math.min(k, candidates.length)));
        const numbers = this.#answer(3 * count);
        return Array.from({ length: count }, (_, place) => {
          return { candidate: numbers[3 * place], ...score(numbers.subarray(3 * place + 1)) };
        });
      });
    });
  }

  explain(row) {
    return this.#with(null, () => this.#keep([row], this.#others(new Set())), (kept) => {
      const pairs = this.#check(this.#exports().explain(kept.id));
      const count = this.fields.length;
      const [logit, probability, bias, layers, ...shares] = this.#answer(4 + count + 3 * pairs);
      const name = (field) => this.fields[field].name;
      return {
        logit,
        probability,
        bias,
        layers,
        fields: shares.slice(0, count).map((share, field) => ({ field: name(field), share })),
        pairs: Array.from({ length: pairs }, (_, pair) => {
          const [one, other, share] = shares.slice(count + 3 * pair);
          return { fields: [name(one), name(other)], share };
        }),
      };
    });
  }

  #exports() {
    if (this.#wasm === null) throw new XsfmError("the model was disposed of");
    return this.#wasm;
  }

  #text() {
    const { memory, text, text_len } = this.#exports();
    return decoder.decode(new Uint8Array(memory.buffer, text() >>> 0, text_len()));
  }

  /** The numbers of the last answer, copied. */
  #answer(count) {
    const { memory, answer } = this.#exports();
    return new Float64Array(memory.buffer, answer() >>> 0, count).slice();
  }

  /** Writes what the next call takes. */
  #put(bytes) {
    const { memory, room } = this.#exports();
    // An address of more than 2 GB comes as a negative number.
    const at = room(bytes.length) >>> 0;
    if (at === 0) throw new XsfmError(`no memory for ${bytes.length} bytes`);
    new Uint8Array(memory.buffer, at, bytes.length).set(bytes);
  }

  /** The number that a call gave, or its error. */
  #check(result, isContext = false) {
    if (result >= 0) return result;
    const text = this.#text();
    if (result === -1) throw new ModelError(text);
    if (result === -2) {
      const [row, field] = this.#answer(2);
      throw new RowError(isContext || row < 0 ? null : row, this.fields[field]?.name ?? null, text);
    }
    throw new XsfmError(text);
  }

  /** The numbers of the fields that have these columns, in the model's order. */
  #fieldsOf(columns, row) {
    const unknown = columns.filter((column) => !this.#numbers.has(column));
    if (unknown.length > 0) {
      const text = `the model has no ${quoted(unknown)}; it has ${quoted(this.#numbers.keys())}`;
      throw new RowError(row, null, text);
    }
    return columns.map((column) => this.#numbers.get(column)).sort((one, other) => one - other);
  }

  /** The fields that are not these. */
  #others(fields) {
    return this.fields.map((_, field) => field).filter((field) => !fields.has(field));
  }

  /** Encodes rows that have these fields, or a context. */
  #keep(rows, fields, isContext = false) {
    const columns = fields.map((field) => this.fields[field].column);
    const writer = new Writer();
    writer.word(fields.length);
    fields.forEach((field) => writer.word(field));
    writer.word(rows.length);
    rows.forEach((row, place) => {
      const number = isContext ? null : place;
      const values = isIndices(row) ? row : valuesOf(row, columns, number);
      if (values.length !== columns.length) {
        throw new RowError(number, null, `${values.length} indices for ${quoted(columns)}`);
      }
      fields.forEach((field, place) => {
        if (!(isIndices(row) ? writer.indices(values[place]) : writer.value(values[place]))) {
          const expected = isIndices(row) ? "an index, or the indices of a bag" : "a text, a number, texts or null";
          throw new RowError(number, this.fields[field].name, `${expected} expected`);
        }
      });
    });
    this.#put(writer.bytes);
    const id = this.#check(this.#exports().keep(writer.bytes.length), isContext);
    const areIndices = rows.length > 0 && isIndices(rows[0]);
    const kept = new Rows(this, id, rows.length, fields, areIndices, () => {
      if (this.#kept.delete(kept)) this.#wasm.forget(id);
    });
    this.#kept.add(kept);
    return kept;
  }

  /** Does `work` with rows that are kept already, or for that. */
  #with(rows, keep, work) {
    if (rows instanceof Rows) {
      if (!this.#kept.has(rows)) throw new XsfmError("rows that were disposed of, or are another model's");
      return work(rows);
    }
    const kept = keep();
    try {
      return work(kept);
    } finally {
      kept.dispose();
    }
  }
}

/** The values of these columns, of which a row has each, and no other. */
function valuesOf(row, columns, number) {
  if (typeof row !== "object" || row === null) {
    throw new RowError(number, null, "an object of raw values, or an array of indices expected");
  }
  const missing = columns.filter((column) => !Object.hasOwn(row, column));
  if (missing.length > 0) throw new RowError(number, null, `no ${quoted(missing)}; it needs ${quoted(columns)}`);
  if (Object.keys(row).length > columns.length) {
    const extra = Object.keys(row).filter((column) => !columns.includes(column));
    throw new RowError(number, null, `${quoted(extra)}, of which nothing is known here; it needs ${quoted(columns)}`);
  }
  return columns.map((column) => row[column]);
}

/** A score, of its first two numbers. */
const score = ([logit, probability]) => ({ logit, probability });
