// Makes the bytes of an entry out of plain data: one zlib stream for gzip, one frame for lz4, a frame with checksum per
// call for zstd.
// node:zlib's streams would do for zstd too, were it not for their bugs; one-shot calls are sound and faster.

import { once } from "node:events";
import { promisify } from "node:util";
import { constants, createDeflate, createGzip, zstdCompress, type Deflate, type Gzip } from "node:zlib";

import { Lz4FrameEncoder } from "./lz4-frames.ts";
import type { CompressionAlgorithm } from "./toc.ts";

const OUTPUT_CHUNK_BYTES = 256 * 1024;

/** node:zlib takes no smaller chunkSize. */
const ZLIB_CHUNK_BYTES_MIN = 64;

const ZSTD_LEVEL_DEFAULT = 3;

const zstdCompressAsync = promisify(zstdCompress);

/** Encodes the plain bytes of one entry or one large object; used once. */
export interface DataEncoder {
  /** Takes plain bytes and gives what is to be written, in order; perhaps nothing yet. */
  encode(bytes: Uint8Array): Promise<Uint8Array[]>;
  /** The rest, at the end of the data: with no data at all an empty stream or frame, without which gzip is not read. */
  end(): Promise<Uint8Array[]>;
}

/** One zstd frame with checksum and content size. */
export async function compressFrame(bytes: Uint8Array, level = ZSTD_LEVEL_DEFAULT): Promise<Buffer> {
  return await zstdCompressAsync(bytes, {
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
    pledgedSrcSize: bytes.byteLength,
    chunkSize: Math.max(bytes.byteLength, ZLIB_CHUNK_BYTES_MIN),
  });
}

/**
 * An encoder for an algorithm; "gzip-file" makes a file of gzip, "gzip" a bare zlib stream. `level` as in the archive's
 * head, -1 for the default.
 */
export function createDataEncoder(compression: CompressionAlgorithm | "gzip-file", level: number): DataEncoder {
  if (compression === "gzip" || compression === "gzip-file") return new DeflateEncoder(compression, level);
  if (compression === "lz4") return lz4Encoder();
  if (compression === "none") return { encode: async (bytes) => [bytes], end: async () => [] };
  return new FrameEncoder(level > 0 ? level : ZSTD_LEVEL_DEFAULT);
}

function lz4Encoder(): DataEncoder {
  const frame = new Lz4FrameEncoder();
  return { encode: async (bytes) => frame.encode(bytes), end: async () => frame.end() };
}

class FrameEncoder implements DataEncoder {
  readonly #level: number;
  #isEmpty = true;

  constructor(level: number) {
    this.#level = level;
  }

  async encode(bytes: Uint8Array): Promise<Uint8Array[]> {
    if (bytes.byteLength === 0) return [];
    this.#isEmpty = false;
    return [await compressFrame(bytes, this.#level)];
  }

  async end(): Promise<Uint8Array[]> {
    return this.#isEmpty ? [await compressFrame(new Uint8Array(0), this.#level)] : [];
  }
}

class DeflateEncoder implements DataEncoder {
  readonly #container: "gzip" | "gzip-file";
  readonly #level: number;
  #deflate: Deflate | Gzip | null = null;
  #output: Uint8Array[] = [];

  constructor(container: "gzip" | "gzip-file", level: number) {
    this.#container = container;
    this.#level = level >= -1 && level <= 9 ? level : -1;
  }

  async encode(bytes: Uint8Array): Promise<Uint8Array[]> {
    if (bytes.byteLength === 0) return [];
    const deflate = this.#open();
    await new Promise<void>((resolve, reject) => {
      deflate.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
    return this.#take();
  }

  async end(): Promise<Uint8Array[]> {
    const deflate = this.#open();
    const ended = once(deflate, "end");
    deflate.end();
    await ended;
    return this.#take();
  }

  #open(): Deflate | Gzip {
    if (this.#deflate === null) {
      const options = { level: this.#level, chunkSize: OUTPUT_CHUNK_BYTES };
      this.#deflate = this.#container === "gzip" ? createDeflate(options) : createGzip(options);
      this.#deflate.on("data", (chunk: Buffer) => this.#output.push(chunk));
    }
    return this.#deflate;
  }

  #take(): Uint8Array[] {
    const output = this.#output;
    this.#output = [];
    return output;
  }
}
