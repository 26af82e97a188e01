// Gives the memory of a large buffer back at once. V8 sees only the small object in front of it: with megabytes behind
// each, dead ones pile up until the garbage collector looks, and it looks too often besides.

/** Buffers below this may be slices of Node's pool, and are not worth it. */
const FREED_SIZE_BYTES_MIN = 64 * 1024;

/** Frees the memory if the bytes are all of their buffer; nobody may use them afterwards. */
export function freeBuffer(bytes: Uint8Array): void {
  const { buffer } = bytes;
  const isWhole = bytes.byteOffset === 0 && bytes.byteLength === buffer.byteLength;
  if (isWhole && bytes.byteLength >= FREED_SIZE_BYTES_MIN && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
