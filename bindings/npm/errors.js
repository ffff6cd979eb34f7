// What can go wrong.

/** What this package throws. */
export class XsfmError extends Error {
  name = "XsfmError";
}

/** The bytes are no model, or were damaged. */
export class ModelError extends XsfmError {
  name = "ModelError";
}

/** A row does not fit the model; its number is null where it is a context. */
export class RowError extends XsfmError {
  name = "RowError";

  constructor(row, field, text) {
    const place = row === null ? "the context" : `row ${row}`;
    super(field === null ? `${place}: ${text}` : `${place}, field ${JSON.stringify(field)}: ${text}`);
    this.row = row;
    this.field = field;
  }
}

/** Names, as errors show them. */
export const quoted = (names) => Array.from(names, (name) => JSON.stringify(name)).join(", ");
