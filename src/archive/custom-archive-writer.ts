// Writes a custom-format archive to a sink, front to back: head and table of contents, then the data of each entry.
// Frames go to the sink as they are, without being copied. At the end the data offsets are filled in where the sink
// can write at an offset, exactly as pg_dump does it in a file; else they stay "not set", as pg_dump leaves a pipe.
// Where the lengths of the data are known beforehand, the offsets are right from the start and nothing is written twice.
// Source: pg_backup_custom.c, _CloseArchive, _StartData, _StartLOs, _StartLO, _CustomWriteFunc.

import { assert } from "../base/assert.ts";
import { checkWritable } from "./archive-version.ts";
import { END_OF_DATA_MARK } from "./cut-pieces.ts";
import { encodeHeadAndToc, type EncodedToc } from "./encode-toc.ts";
import { expectDataOffsets, type ExpectedData } from "./expected-offsets.ts";
import { BLOCK_SIZE_BYTES_MAX, OID_MAX } from "./limits.ts";
import { ByteWriter, intOfOid } from "./primitives.ts";
import type { Toc, TocEntry } from "./toc.ts";
import { createDataEncoder, type DataEncoder } from "./zlib-encoder.ts";

/** Where an archive goes. Buffers may be read until the promise resolves, and not be changed. */
export interface ArchiveSink {
  /** `isGiven`: nobody else uses the buffer again, and the sink may free it when it is written. */
  write(bytes: Uint8Array, isGiven?: boolean): Promise<void>;
  /** Writes over bytes that were written before; absent when the sink is a pipe. */
  patch?(offset: number, bytes: Uint8Array): Promise<void>;
}

const DATA_BLOCK = 1;
const BLOBS_BLOCK = 3;

/** An archive being written. Calls follow one another: begin, frames, end, for each entry with data in TOC order. */
export class CustomArchiveWriter {
  readonly #sink: ArchiveSink;
  readonly #toc: Toc;
  readonly #encoded: EncodedToc;
  readonly #dataOffsets = new Map<number, number>();
  #offsetsInToc: ReadonlyMap<number, number> = new Map();
  readonly #waiting: TocEntry[];
  #offset = 0;
  #state: "between" | "table" | "large-objects" | "large-object" | "finished" = "between";
  #entry: TocEntry | null = null;
  #encoder: DataEncoder | null = null;
  #hasBlocks = false;

  private constructor(sink: ArchiveSink, toc: Toc) {
    this.#sink = sink;
    this.#toc = toc;
    this.#encoded = encodeHeadAndToc(toc, { offsets: "not-set" });
    this.#waiting = toc.entries.filter((entry) => entry.hadDumper);
  }

  /**
   * Writes head and table of contents; version, compression and level are the header's. Throws archive_unsupported
   * for a combination that cannot be written: see checkWritable(); convertToc() makes a table of contents for 1.15.
   * `expected`: by dump id, how long tables' data will be; where it comes otherwise, finish() corrects the offsets.
   */
  static async create(
    sink: ArchiveSink,
    toc: Toc,
    expected: ReadonlyMap<number, ExpectedData> = new Map(),
  ): Promise<CustomArchiveWriter> {
    checkWritable(toc);
    assert(toc.header.format === "custom", "the header says that the archive is of the custom format");
    assert(expected.size === 0 || sink.patch !== undefined, "what is only expected can be corrected");
    const writer = new CustomArchiveWriter(sink, toc);
    writer.#offsetsInToc = await expectDataOffsets(toc, writer.#encoded.bytes.length, expected);
    writer.#setOffsets(writer.#offsetsInToc);
    await writer.#write(writer.#encoded.bytes);
    return writer;
  }

  /** Bytes written so far: the archive's size after finish(). */
  get sizeBytes(): number {
    return this.#offset;
  }

  /** True when the table of contents has the offset of every entry's data already, as far as it can be known now. */
  get expectsAllOffsets(): boolean {
    return this.#offsetsInToc.size === this.#encoded.offsetPositions.size;
  }

  /** The entries with data that are still to be written, in the order in which they must come. */
  get waitingEntries(): readonly TocEntry[] {
    return this.#waiting;
  }

  async beginTableData(entry: TocEntry): Promise<void> {
    assert(entry.description !== "BLOBS", `entry ${entry.dumpId} holds large objects`);
    await this.#beginBlock(entry, DATA_BLOCK);
    this.#state = "table";
  }

  /**
   * Writes a block of the present entry or large object, in the archive's own form: one or more whole zstd frames,
   * or plain bytes when the archive is not compressed. For gzip use writePlain(). `isGiven` as in ArchiveSink.
   */
  async writeFrame(bytes: Uint8Array, isGiven = false): Promise<void> {
    assert(this.#state === "table" || this.#state === "large-object", "no data was begun");
    assert(this.#toc.header.compression !== "gzip", "gzip data is one stream: use writePlain()");
    await this.#writeBlock(bytes, isGiven);
  }

  /** Compresses plain bytes as the archive says, and writes them to the present entry or large object. */
  async writePlain(bytes: Uint8Array): Promise<void> {
    assert(this.#state === "table" || this.#state === "large-object", "no data was begun");
    this.#encoder ??= this.#createEncoder();
    for (const encoded of await this.#encoder.encode(bytes)) await this.#writeBlock(encoded);
  }

  #createEncoder(): DataEncoder {
    return createDataEncoder(this.#toc.header.compression, this.#toc.header.compressionLevel);
  }

  /** Ends a table's data; the end-of-data mark, which pg_restore needs to print the rows, is written here. */
  async endTableData(): Promise<void> {
    assert(this.#state === "table" && this.#entry !== null, "no table data was begun");
    if (this.#entry.copyStatement !== "") await this.writePlain(END_OF_DATA_MARK);
    await this.#endRuns();
    this.#state = "between";
  }

  async beginLargeObjects(entry: TocEntry): Promise<void> {
    assert(entry.description === "BLOBS", `entry ${entry.dumpId} holds no large objects`);
    await this.#beginBlock(entry, BLOBS_BLOCK);
    this.#state = "large-objects";
  }

  async beginLargeObject(oid: number): Promise<void> {
    assert(this.#state === "large-objects", "no large objects were begun");
    assert(Number.isInteger(oid) && oid > 0 && oid <= OID_MAX, `${oid} is no OID`);
    await this.#writeInt(intOfOid(oid));
    this.#state = "large-object";
  }

  async endLargeObject(): Promise<void> {
    assert(this.#state === "large-object", "no large object was begun");
    await this.#endRuns();
    this.#state = "large-objects";
  }

  async endLargeObjects(): Promise<void> {
    assert(this.#state === "large-objects", "no large objects were begun");
    await this.#writeInt(0);
    this.#state = "between";
  }

  /** Fills in the data offsets that are not there yet, where the sink can. All entries with data must have been written. */
  async finish(): Promise<void> {
    assert(this.#state === "between", "data was begun and not ended");
    assert(this.#waiting.length === 0, `the data of ${this.#waiting.length} entries is missing`);
    this.#state = "finished";
    if (this.#sink.patch === undefined) return;
    const areRight = [...this.#dataOffsets].every(([dumpId, offset]) => this.#offsetsInToc.get(dumpId) === offset);
    if (areRight) return;
    this.#setOffsets(this.#dataOffsets);
    const { bytes, tocOffset } = this.#encoded;
    await this.#sink.patch(tocOffset, bytes.subarray(tocOffset));
  }

  #setOffsets(offsets: ReadonlyMap<number, number>): void {
    const { bytes, offsetPositions } = this.#encoded;
    for (const [dumpId, dataOffset] of offsets) {
      const position = offsetPositions.get(dumpId);
      assert(position !== undefined, `entry ${dumpId} has no place for its data offset`);
      const field = this.#atoms();
      field.writeOffset("set", dataOffset);
      bytes.set(field.bytes(), position);
    }
  }

  async #beginBlock(entry: TocEntry, type: number): Promise<void> {
    assert(this.#state === "between", "the data of another entry is not ended");
    const next = this.#waiting.shift();
    assert(next?.dumpId === entry.dumpId, `the data of entry ${next?.dumpId} comes next, not of ${entry.dumpId}`);
    this.#entry = entry;
    this.#dataOffsets.set(entry.dumpId, this.#offset);
    const header = this.#atoms();
    header.writeByte(type);
    header.writeInt(entry.dumpId);
    await this.#write(header.bytes());
  }

  async #endRuns(): Promise<void> {
    const encoder = this.#encoder ?? (this.#hasBlocks ? null : this.#createEncoder());
    this.#encoder = null;
    if (encoder !== null) for (const encoded of await encoder.end()) await this.#writeBlock(encoded);
    this.#hasBlocks = false;
    await this.#writeInt(0);
  }

  async #writeBlock(bytes: Uint8Array, isGiven = false): Promise<void> {
    // A length of zero would end the data.
    if (bytes.byteLength === 0) return;
    assert(bytes.byteLength <= BLOCK_SIZE_BYTES_MAX, "a block is too long");
    this.#hasBlocks = true;
    await this.#writeInt(bytes.byteLength);
    await this.#write(bytes, isGiven);
  }

  async #writeInt(value: number): Promise<void> {
    const atoms = this.#atoms();
    atoms.writeInt(value);
    await this.#write(atoms.bytes());
  }

  #atoms(): ByteWriter {
    return new ByteWriter(this.#toc.header.intSizeBytes, this.#toc.header.offsetSizeBytes, 16);
  }

  async #write(bytes: Uint8Array, isGiven = false): Promise<void> {
    // Before the bytes may be gone.
    this.#offset += bytes.byteLength;
    await this.#sink.write(bytes, isGiven);
  }
}
