// Bytes, wherever they come from, and the compiled modules.

import { XsfmError } from "./errors.js";

/** The bytes of a buffer, a view, a Blob, a Response, or of what lies at a URL. */
export async function bytesOf(source) {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  if (source instanceof URL && source.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return readFile(source);
  }
  const response = source instanceof URL ? await fetch(source) : source;
  if (typeof response?.arrayBuffer !== "function") {
    throw new TypeError("a model: an ArrayBuffer, a view of one, a Blob, a Response or a URL expected");
  }
  if (response.ok === false) throw new XsfmError(`${response.url}: HTTP status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

// () -> v128: i32.const 0, i8x16.splat. Engines without SIMD128 refuse it.
const PROBE = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11,
);

/** The back ends, the plainest first. */
export const backends = WebAssembly.validate(PROBE) ? ["portable", "simd128"] : ["portable"];

// Written out: bundlers look for them.
const urls = {
  portable: new URL("./xsfm-portable.wasm", import.meta.url),
  simd128: new URL("./xsfm-simd128.wasm", import.meta.url),
};
const modules = new Map();

/** The compiled module of a back end, once for all models. */
export function compiled(backend) {
  if (!backends.includes(backend)) throw new XsfmError(`this engine has ${backends.join(", ")}, but no ${backend}`);
  if (!modules.has(backend)) {
    const module = bytesOf(urls[backend]).then((bytes) => WebAssembly.compile(bytes));
    // Whoever asks after a failed download tries again.
    module.catch(() => modules.delete(backend));
    modules.set(backend, module);
  }
  return modules.get(backend);
}
