// Where an archive's bytes come from: anything that can be read at an offset. Files are opened elsewhere.

import { assert } from "../base/assert.ts";

/** Bytes that can be read at any offset. */
export interface RandomAccessSource {
  readonly sizeBytes: number;
  /**
   * Bytes from `offset`: at least one and at most `length`, fewer than `length` at any time, none only at the end.
   * The buffer is not written to afterwards.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A source over bytes in memory; reads are views, not copies. */
export function memorySource(bytes: Uint8Array): RandomAccessSource {
  return {
    sizeBytes: bytes.byteLength,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  };
}

/** Reads exactly `length` bytes, or fewer when the source ends before. */
export async function readFully(source: RandomAccessSource, offset: number, length: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let lengthRead = 0;
  while (lengthRead < length) {
    const part = await source.read(offset + lengthRead, length - lengthRead);
    assert(part.byteLength <= length - lengthRead, "source gave more bytes than asked for");
    if (part.byteLength === 0) break;
    parts.push(part);
    lengthRead += part.byteLength;
  }
  const only = parts[0];
  if (parts.length === 1 && only) return Buffer.from(only.buffer, only.byteOffset, only.byteLength);
  return Buffer.concat(parts, lengthRead);
}
