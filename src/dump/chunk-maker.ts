// Makes a chunk of plaintext: its id, and its frame unless the sink has that chunk already.
// zstd frames carry a checksum: without it a flipped byte is decoded into wrong output silently.

import { createHash, createHmac } from "node:crypto";
import { constants, zstdCompressSync } from "node:zlib";

import { assert, unreachable } from "../base/assert.ts";
import type { ChunkHashing, ReadChunk } from "./data-sink.ts";
import type { ChunkCompression, ChunkOptions } from "./reader-messages.ts";

const CHUNK_ID_SIZE_BYTES = 32;

export type ChunkKind = "table" | "large-objects";

/** Id of a plaintext; empty without hashing. */
export function makeChunkId(hashing: ChunkHashing, kind: ChunkKind, text: Uint8Array): Uint8Array {
  if (hashing === null) return new Uint8Array(0);
  const hash = hashing.secret === null ? createHash("sha256") : createHmac("sha256", hashing.secret);
  return hash
    .update(kind === "table" ? hashing.tablePrefix : hashing.largeObjectsPrefix)
    .update(text)
    .digest();
}

/** Level 3 with smaller tables: the same ratio on COPY text in less time (docs/benchmarks.md). */
const LEVEL_3_PARAMETERS: Readonly<Record<number, number>> = {
  [constants.ZSTD_c_hashLog]: 16,
  [constants.ZSTD_c_chainLog]: 14,
  [constants.ZSTD_c_minMatch]: 6,
};

/** One zstd frame with checksum and content size, or a copy of the text; always a buffer of its own. */
export function makeFrame(compression: ChunkCompression, text: Uint8Array): Uint8Array {
  switch (compression.algorithm) {
    case "none":
      return Uint8Array.from(text);
    case "zstd": {
      const frame = zstdCompressSync(text, {
        params: {
          [constants.ZSTD_c_compressionLevel]: compression.level,
          [constants.ZSTD_c_checksumFlag]: 1,
          ...(compression.level === 3 ? LEVEL_3_PARAMETERS : {}),
        },
        pledgedSrcSize: text.length,
        chunkSize: frameBound(text.length),
      });
      return trimmed(frame);
    }
    default:
      return unreachable(compression.algorithm);
  }
}

/**
 * The bytes in a buffer of exactly their size, their old one freed at once: waiting for the garbage collector, each
 * reader would hold tens of MiB of dead output buffers.
 */
export function trimmed(bytes: Buffer): Uint8Array {
  const isPooled = bytes.byteOffset !== 0 || bytes.buffer.byteLength <= Buffer.poolSize;
  if (isPooled) return Uint8Array.from(bytes);
  return new Uint8Array((bytes.buffer as ArrayBuffer).transfer(bytes.length));
}

/** At least ZSTD_compressBound plus the checksum. */
function frameBound(lengthBytes: number): number {
  return lengthBytes + Math.ceil(lengthBytes / 256) + 256;
}

/** The ids that a sink has for one task. */
export class KnownIds {
  readonly #ids = new Set<string>();

  constructor(ids: Uint8Array | null) {
    if (ids === null) return;
    assert(ids.length % CHUNK_ID_SIZE_BYTES === 0, "ids stand one after another");
    for (let at = 0; at < ids.length; at += CHUNK_ID_SIZE_BYTES) {
      this.#ids.add(Buffer.from(ids.subarray(at, at + CHUNK_ID_SIZE_BYTES)).toString("latin1"));
    }
  }

  has(id: Uint8Array): boolean {
    return this.#ids.size > 0 && this.#ids.has(Buffer.from(id).toString("latin1"));
  }
}

export interface ChunkSource {
  readonly kind: ChunkKind;
  readonly text: Uint8Array;
  readonly rowCount: number;
  readonly continues: boolean;
}

/** The chunk of a plaintext, whose buffer may be reused afterwards. */
export function makeChunk(source: ChunkSource, options: ChunkOptions, known: KnownIds): ReadChunk {
  const id = makeChunkId(options.hashing, source.kind, source.text);
  return chunkOf(source, id, known.has(id) ? null : makeFrame(options.compression, source.text));
}

/** The chunk of a plaintext whose id and frame are made. */
export function chunkOf(source: ChunkSource, id: Uint8Array, frame: Uint8Array | null): ReadChunk {
  const { rowCount, continues } = source;
  return { id, rawLengthBytes: source.text.length, rowCount, continues, frame, deltaOf: null };
}
