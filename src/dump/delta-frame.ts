// A delta: a zstd frame made with another chunk's plaintext as dictionary, so that what both have in common costs nothing.
// It replaces a full frame only where it has at most a quarter of its length. How long a full frame would be is estimated
// from that of the base, since making it to know would cost as much as it saves.
// Memory: a copy of the base and 2 MiB of tables while a frame is made. Source: docs/formats/repository.md §5.

import { constants, zstdCompressSync } from "node:zlib";

import { MIB } from "../base/units.ts";
import { trimmed } from "./chunk-maker.ts";
import type { BaseLengths } from "./data-sink.ts";

/** Text and base longer than this get no delta: their tables would need more than a reader may have. */
const DELTA_TEXT_BYTES_MAX = 8 * MIB;

/** A delta may have this part of a full frame's length. */
const FULL_FRAME_PART = 4;

/**
 * The fastest level, with a table large enough to remember a base of 2 to 4 MiB (with less of it, more is not found
 * again: with zstd's own 2^14, nearly all) and a window that holds base and text.
 */
const DELTA_PARAMETERS: Readonly<Record<number, number>> = {
  [constants.ZSTD_c_compressionLevel]: 1,
  [constants.ZSTD_c_windowLog]: 23,
  [constants.ZSTD_c_hashLog]: 19,
  [constants.ZSTD_c_checksumFlag]: 1,
};

/** Bytes with which zstd's own dictionaries begin: a base like that would be taken for one of these. */
const ZSTD_DICTIONARY_MAGIC = Buffer.from([0x37, 0xa4, 0x30, 0xec]);

const OUTPUT_BYTES_MIN = 64;

/** The longest delta of a text of that length that is worth it. */
export function deltaLengthMax(textLengthBytes: number, base: BaseLengths): number {
  if (base.rawLengthBytes === 0) return 0;
  const fullLengthBytes = (textLengthBytes / base.rawLengthBytes) * base.frameLengthBytes;
  return Math.floor(fullLengthBytes / FULL_FRAME_PART);
}

/** The delta of a text, or null when it would have more than `lengthMaxBytes`. Both buffers stay the caller's. */
export function makeDelta(text: Uint8Array, base: Uint8Array, lengthMaxBytes: number): Uint8Array | null {
  if (lengthMaxBytes < OUTPUT_BYTES_MIN || !canBeBase(base) || text.length > DELTA_TEXT_BYTES_MAX) return null;
  try {
    const frame = zstdCompressSync(text, {
      params: DELTA_PARAMETERS,
      dictionary: base,
      pledgedSrcSize: text.length,
      chunkSize: lengthMaxBytes + 1, // full at the end, it would be asked for more
      maxOutputLength: lengthMaxBytes,
    });
    return trimmed(frame);
  } catch (error) {
    if (error instanceof RangeError && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE") return null;
    throw error;
  }
}

function canBeBase(base: Uint8Array): boolean {
  if (base.length < ZSTD_DICTIONARY_MAGIC.length || base.length > DELTA_TEXT_BYTES_MAX) return false;
  return !ZSTD_DICTIONARY_MAGIC.equals(base.subarray(0, ZSTD_DICTIONARY_MAGIC.length));
}
