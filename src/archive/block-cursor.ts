// Walks the data part of an archive: a buffered position in a source, and the block headers found there.
//
//   data block    byte 1, integer dump id, then runs of bytes
//   BLOBS block   byte 3, integer dump id, then per large object: integer OID, runs of bytes; ended by an integer 0
//   runs          integer length, that many bytes; ended by a length of 0
//
// Source: pg_backup_custom.c, _StartData, _StartLOs, _StartLO, _CustomWriteFunc, _readBlockHeader, _skipData.

import { assert } from "../base/assert.ts";
import { invalidArchive } from "./archive-errors.ts";
import { BLOCK_SIZE_BYTES_MAX, DUMP_ID_MAX } from "./limits.ts";
import { oidOfInt, readMagnitude } from "./primitives.ts";
import { readFully, type RandomAccessSource } from "./random-access-source.ts";

const WINDOW_SIZE_BYTES_MIN = 16 * 1024;
const WINDOW_SIZE_BYTES_MAX = 1024 * 1024;

/** Small runs (rows, of pg_dump before 16) are joined into about this much before they are handed on. */
const JOINED_RUNS_BYTES = 256 * 1024;

const DATA_BLOCK = 1;
const BLOBS_BLOCK = 3;

/** The start of an entry's data. */
export interface BlockHeader {
  readonly offset: number;
  readonly kind: "data" | "blobs";
  readonly dumpId: number;
}

/** A position in an archive's data part. Bytes handed out are never overwritten. */
export class BlockCursor {
  readonly #source: RandomAccessSource;
  readonly #intSizeBytes: number;
  readonly #signal: AbortSignal | undefined;
  #window: Buffer = Buffer.alloc(0);
  #windowOffset: number;
  #position = 0;
  #windowSizeBytes = WINDOW_SIZE_BYTES_MIN;

  constructor(source: RandomAccessSource, intSizeBytes: number, offset: number, signal?: AbortSignal) {
    this.#source = source;
    this.#intSizeBytes = intSizeBytes;
    this.#windowOffset = offset;
    this.#signal = signal;
  }

  /** Offset in the archive of the next byte. */
  get offset(): number {
    return this.#windowOffset + this.#position;
  }

  get #available(): number {
    return this.#window.length - this.#position;
  }

  /** Makes at least `length` bytes available; throws archive_invalid when the archive ends before. */
  async #ensure(length: number, field: string): Promise<void> {
    if (this.#available < length) await this.#fill(length, field);
  }

  async #fill(length: number, field: string): Promise<void> {
    this.#signal?.throwIfAborted();
    const kept = this.#window.subarray(this.#position);
    const offset = this.offset;
    const wanted = Math.max(length, this.#windowSizeBytes) - kept.length;
    const more = await readFully(this.#source, offset + kept.length, wanted);
    if (kept.length + more.length < length) {
      throw invalidArchive(offset + kept.length + more.length, field, "the archive ends here");
    }
    this.#window = kept.length === 0 ? more : Buffer.concat([kept, more]);
    this.#windowOffset = offset;
    this.#position = 0;
    this.#windowSizeBytes = Math.min(this.#windowSizeBytes * 2, WINDOW_SIZE_BYTES_MAX);
  }

  /** Parses an integer that is known to be available. */
  #parseInt(field: string): number {
    const sign = this.#window[this.#position] ?? 0;
    const magnitude = readMagnitude(this.#window, this.#position + 1, this.#intSizeBytes);
    if (sign > 1 || magnitude === null || magnitude > 0xffff_ffff) {
      throw invalidArchive(this.offset, field, "not an integer");
    }
    this.#position += 1 + this.#intSizeBytes;
    return sign === 1 ? -magnitude : magnitude;
  }

  async #readInt(field: string): Promise<number> {
    await this.#ensure(1 + this.#intSizeBytes, field);
    return this.#parseInt(field);
  }

  /** The block header at the cursor, or null at the end of the archive. */
  async readBlockHeader(): Promise<BlockHeader | null> {
    const offset = this.offset;
    if (this.#available === 0 && offset >= this.#source.sizeBytes) return null;
    await this.#ensure(1, "block type");
    const type = this.#window[this.#position] ?? 0;
    this.#position += 1;
    if (type !== DATA_BLOCK && type !== BLOBS_BLOCK) {
      throw invalidArchive(offset, "block type", `${type} is neither data nor large objects`);
    }
    const dumpId = await this.#readInt("dump id of block");
    if (dumpId < 1 || dumpId > DUMP_ID_MAX) {
      throw invalidArchive(offset, "dump id of block", `${dumpId} is out of range`);
    }
    return { offset, kind: type === DATA_BLOCK ? "data" : "blobs", dumpId };
  }

  /** The OID of the next large object of a BLOBS block; 0 at its end. */
  async readOid(): Promise<number> {
    const offset = this.offset;
    const oid = oidOfInt(await this.#readInt("large object OID"));
    if (oid === null) throw invalidArchive(offset, "large object OID", "out of range");
    return oid;
  }

  async #readRunLength(): Promise<number> {
    await this.#ensure(1 + this.#intSizeBytes, "length of data");
    return this.#parseRunLength();
  }

  #parseRunLength(): number {
    const offset = this.offset;
    const length = this.#parseInt("length of data");
    const rest = this.#source.sizeBytes - this.offset;
    if (length < 0 || length > Math.min(BLOCK_SIZE_BYTES_MAX, rest)) {
      throw invalidArchive(offset, "length of data", `${length} with ${rest} bytes left in the archive`);
    }
    return length;
  }

  /** Passes over runs up to and with their end mark, without reading what need not be read. */
  async skipRuns(): Promise<void> {
    for (;;) {
      const length = await this.#readRunLength();
      if (length === 0) return;
      if (length <= this.#available) {
        this.#position += length;
        continue;
      }
      this.#windowOffset = this.offset + length;
      this.#window = Buffer.alloc(0);
      this.#position = 0;
      this.#windowSizeBytes = WINDOW_SIZE_BYTES_MIN;
    }
  }

  /** Passes over the rest of a BLOBS block. */
  async skipLargeObjects(): Promise<void> {
    while ((await this.readOid()) !== 0) await this.skipRuns();
  }

  /** The bytes of runs up to their end mark, in buffers of at most about a MiB; small runs are joined. */
  async *readRuns(): AsyncGenerator<Buffer, void, void> {
    let parts: Buffer[] = [];
    let partsBytes = 0;
    let left = 0;
    for (;;) {
      if (left === 0) {
        // The common case, a header that is in the window already, costs no await.
        left = this.#available > this.#intSizeBytes ? this.#parseRunLength() : await this.#readRunLength();
        if (left === 0) break;
      }
      if (this.#available === 0) await this.#fill(1, "data");
      const part = this.#takeUpTo(left);
      left -= part.length;
      parts.push(part);
      partsBytes += part.length;
      if (partsBytes < JOINED_RUNS_BYTES) continue;
      yield joined(parts, partsBytes);
      parts = [];
      partsBytes = 0;
    }
    if (partsBytes > 0) yield joined(parts, partsBytes);
  }

  #takeUpTo(length: number): Buffer {
    const taken = Math.min(length, this.#available);
    assert(taken > 0, "a cursor took nothing");
    const part = this.#window.subarray(this.#position, this.#position + taken);
    this.#position += taken;
    return part;
  }
}

function joined(parts: readonly Buffer[], lengthBytes: number): Buffer {
  const only = parts[0];
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts, lengthBytes);
}
