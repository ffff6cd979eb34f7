/** A raw value, as the training data have it: a token, a number, the tokens of a bag, or none. */
export type RawValue = string | number | bigint | readonly string[] | null | undefined;
/** Raw values by the names of their columns: each field's, and no other. */
export type RawRow = Readonly<Record<string, RawValue>>;
/** An index of each field in the order of the model, or of a bag several. */
export type IndexRow = ReadonlyArray<number | ArrayLike<number>> | Uint32Array;
export type Row = RawRow | IndexRow;

/** What a row's score is. */
export interface Score {
  /** Log-odds of a click. */
  readonly logit: number;
  /** P(click). */
  readonly probability: number;
}

/** A candidate and its score. */
export interface Ranked extends Score {
  /** Its number among the candidates, from 0. */
  readonly candidate: number;
}

/** What a row's logit is the sum of: `bias`, each share of `fields` and `pairs`, and `layers`. The sum is exact in int8 and
 * dynamic mode, in any order. */
export interface Explanation extends Score {
  /** The model's own. */
  readonly bias: number;
  /** What is left: the layers, and roundings in f32 mode. */
  readonly layers: number;
  /** What each field's first-order terms add. */
  readonly fields: ReadonlyArray<{ readonly field: string; readonly share: number }>;
  /** What each pair of fields adds. */
  readonly pairs: ReadonlyArray<{ readonly fields: readonly [string, string]; readonly share: number }>;
}

/** A field of a model. */
export interface Field {
  /** Its name in the training data. */
  readonly name: string;
  /** The column of raw rows that has its values: what they are called in a `RawRow`. A field of times has its own name,
   * and takes the hour of the day, 0 to 23 in UTC, or the day of the week, 0 to 6 from Monday on. */
  readonly column: string;
  /** Valid indices are below this. */
  readonly features: number;
  /** Whether it may have several values. */
  readonly bag: boolean;
  /** Whether its raw values are numbers; false where the file has no vocabulary. */
  readonly numeric: boolean;
  /** How its vectors are stored: quotient-remainder tables are multiplied, added or concatenated. */
  readonly embedding: "full" | "mult" | "add" | "concat" | "unknown";
  /** Indices that share a row of the quotients' table; 0 in a full one. */
  readonly collisions: number;
  /** Bits of a number in its tables. */
  readonly bits: 4 | 8 | 32;
  /** Numbers in its tables. */
  readonly parameters: number;
}

/** What a packed file holds. */
export interface Info {
  /** Program and version that wrote it. */
  readonly producer: string;
  /** What a label of 1 means, in words. */
  readonly label: string;
  readonly mode: "f32" | "int8" | "dynamic" | "unknown";
  /** The instructions that score it. */
  readonly backend: Backend;
  /** Bytes of the file. */
  readonly fileBytes: number;
  /** Length of a field's vector. */
  readonly embedDim: number;
  /** Trained numbers. */
  readonly parameters: number;
  /** Multiplications with additions of one score. */
  readonly multiplyAccumulates: number;
  /** Whether it takes raw values; otherwise indices alone. */
  readonly hasVocabulary: boolean;
  readonly fields: readonly Field[];
  /** The parts of the file, in order. */
  readonly sections: ReadonlyArray<{ readonly name: string; readonly offset: number; readonly bytes: number }>;
}

/** Instructions: plain ones, or vectors of 128 bits. Scores of int8 and dynamic mode have the same bits with both. */
export type Backend = "portable" | "simd128";
/** Those that this engine has, the fastest last. */
export const backends: readonly Backend[];

/** What this package throws, but for a `TypeError` where a model is no bytes at all. */
export class XsfmError extends Error {}
/** The bytes are no model, or were damaged. */
export class ModelError extends XsfmError {}
/** A row does not fit the model. */
export class RowError extends XsfmError {
  /** The row's number, from 0; null where it is a context. */
  readonly row: number | null;
  /** The name of the field, null where it is the row. */
  readonly field: string | null;
}

/** Rows that were encoded once, to be scored or ranked again and again. */
export interface Rows {
  readonly length: number;
  /** Gives their memory back to the model, for others. */
  dispose(): void;
}

/** A packed model. */
export class Model {
  private constructor();

  /** Loads a packed file. Throws `ModelError` where the bytes are none or damaged. */
  static load(
    source: ArrayBuffer | ArrayBufferView | Blob | Response | URL,
    options?: { readonly backend?: Backend },
  ): Promise<Model>;

  readonly info: Info;
  /** The fields, in the order of a row of indices. */
  readonly fields: readonly Field[];

  /** The score of a row, or the scores of several. An array is several rows, unless there is a number in it. */
  score(row: Row): Score;
  score(rows: readonly Row[] | Rows): Score[];

  /** The best `k` candidates, best first; equal ones stay in their order. What the context adds is computed once.
   *
   * `context` has some columns, candidates the others. Where candidates are arrays of indices, the context has indices by
   * the names of columns. */
  rank(
    context: Readonly<Record<string, RawValue | ArrayLike<number>>>,
    candidates: readonly Row[] | Rows,
    k?: number,
  ): Ranked[];

  /** What each field and each pair of fields adds to a row's logit. */
  explain(row: Row): Explanation;

  /** Encodes rows once. The first row's columns are those of all; arrays of indices have all fields but the `context`'s. */
  encode(rows: readonly Row[], options?: { readonly context?: readonly string[] }): Rows;

  /** Drops the model's memory; asking anything of it afterwards is an error. */
  dispose(): void;
}
