// Compiled by `tsc --strict`, never run: what a user writes has the types of `index.d.ts`.

import { Model, ModelError, RowError, backends } from "xsdeepfwfm";
import type { Backend, Explanation, Field, Ranked, RawRow, Rows, Score } from "xsdeepfwfm";

export async function use(bytes: Uint8Array): Promise<string> {
  const backend: Backend | undefined = backends.at(-1);
  const model: Model = await Model.load(bytes, backend ? { backend } : {});
  const row: RawRow = { user: "a", genres: ["b"], price: 1, when: null };
  const one: Score = model.score(row);
  const many: Score[] = model.score([row, row]);
  const indices: Score = model.score([1, [2, 3], 4]);
  const kept: Rows = model.encode([row]);
  const ranked: Ranked[] = model.rank({ user: "a" }, kept, 3);
  const { fields, pairs, layers }: Explanation = model.explain(row);
  const field: Field | undefined = model.fields[0];
  // @ts-expect-error: a model is loaded, not made.
  new Model();
  // @ts-expect-error: no raw value.
  model.score({ user: true });
  // @ts-expect-error: the fields are read alone.
  model.info.mode = "f32";
  try {
    model.score(kept);
  } catch (error) {
    if (error instanceof RowError) return `${error.row} ${error.field}`;
    if (error instanceof ModelError) return error.message;
  }
  return [one, ...many, indices, ...ranked].map(({ logit }) => logit).join() + fields.length + pairs.length + layers + field?.column;
}
