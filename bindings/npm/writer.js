// Rows as the module reads them: `src/rows.rs` has the table.

const encoder = new TextEncoder();

/** Bytes that become more, little-endian. */
export class Writer {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** What was written. */
  get bytes() {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Makes room, and gives where it begins. */
  #take(count) {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }

  #byte(value) {
    const at = this.#take(1);
    this.#bytes[at] = value;
  }

  word(value) {
    const at = this.#take(4);
    this.#view.setUint32(at, value, true);
  }

  #text(text) {
    // A code unit of UTF-16 is at most three bytes of UTF-8.
    const at = this.#take(4 + 3 * text.length);
    const { written } = encoder.encodeInto(text, this.#bytes.subarray(at + 4, this.#length));
    this.#view.setUint32(at, written, true);
    this.#length = at + 4 + written;
  }

  /** A raw value; false where it is none. */
  value(value) {
    if (value === null || value === undefined) {
      this.#byte(0);
    } else if (typeof value === "string" || typeof value === "bigint") {
      this.#byte(1);
      this.#text(String(value));
    } else if (typeof value === "number") {
      this.#byte(Number.isSafeInteger(value) ? 2 : 3);
      const at = this.#take(8);
      this.#view.setFloat64(at, value, true);
    } else if (Array.isArray(value) && value.every((token) => typeof token === "string")) {
      this.#byte(4);
      this.word(value.length);
      value.forEach((token) => this.#text(token));
    } else {
      return false;
    }
    return true;
  }

  /** An index, or the indices of a bag; false where it is neither. */
  indices(value) {
    const list = Array.isArray(value) || ArrayBuffer.isView(value) ? value : [value];
    for (const index of list) {
      if (!Number.isInteger(index) || index < 0 || index >= 2 ** 32) return false;
    }
    this.#byte(5);
    this.word(list.length);
    for (const index of list) this.word(index);
    return true;
  }
}
