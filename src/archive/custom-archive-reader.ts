// Reads a custom-format archive: table of contents, rows and large objects, from any source that can be read at an
// offset. Archives that were written to a pipe have no data offsets: their blocks are looked for once, front to back.
// Source: pg_backup_custom.c, _PrintTocData, _LoadLOs.

import { assert } from "../base/assert.ts";
import { corruptData, invalidArchive } from "./archive-errors.ts";
import { BlockCursor, type BlockHeader } from "./block-cursor.ts";
import type { ArchiveContents, DataPiece, LargeObjectPiece } from "./contents.ts";
import { cutPieces, withoutEndMark } from "./cut-pieces.ts";
import { decodeRuns } from "./decode-data.ts";
import { LARGE_OBJECT_COUNT_MAX } from "./limits.ts";
import type { RandomAccessSource } from "./random-access-source.ts";
import { readToc, type ReadTocResult } from "./read-toc.ts";
import type { Toc, TocEntry } from "./toc.ts";

/** The contents of one custom-format archive. Iterations are independent; each reads the source for itself. */
export class CustomArchiveReader implements ArchiveContents {
  readonly toc: Toc;
  readonly isSeekable = true;
  /** Offset of the first byte after the table of contents. */
  readonly dataStartOffset: number;
  readonly #source: RandomAccessSource;
  #blockOffsets: Promise<ReadonlyMap<number, number>> | null = null;

  private constructor(source: RandomAccessSource, toc: Toc, dataStartOffset: number) {
    this.#source = source;
    this.toc = toc;
    this.dataStartOffset = dataStartOffset;
  }

  /** Reads head and table of contents. Throws archive_invalid or archive_unsupported. */
  static async open(
    source: RandomAccessSource,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<CustomArchiveReader> {
    return CustomArchiveReader.over(source, await readToc(source, options));
  }

  /** A reader of a source whose table of contents was read already. */
  static over(source: RandomAccessSource, known: ReadTocResult): CustomArchiveReader {
    return new CustomArchiveReader(source, known.toc, known.dataStartOffset);
  }

  /**
   * The rows of an entry with data, in pieces of about 2 MiB. Throws archive_invalid when blocks are missing or cut
   * off, "corrupt" when they cannot be decoded. Data that pg_dump wrote as INSERT commands comes as it is.
   */
  async *tableData(entry: TocEntry, signal?: AbortSignal): AsyncGenerator<DataPiece, void, void> {
    const cursor = await this.#openBlock(entry, "data", signal);
    const field = `data of dump id ${entry.dumpId}`;
    const chunks = decodeRuns(cursor.readRuns(), this.toc.header.compression, field);
    const isCopyText = entry.copyStatement !== "";
    yield* cutPieces(isCopyText ? withoutEndMark(chunks) : chunks, isCopyText);
  }

  /** The large objects of a BLOBS entry. A piece may be read at any time, also after the iteration has gone on. */
  async *largeObjects(entry: TocEntry, signal?: AbortSignal): AsyncGenerator<LargeObjectPiece, void, void> {
    let cursor = await this.#openBlock(entry, "blobs", signal);
    for (let count = 0; ; count += 1) {
      if (count > LARGE_OBJECT_COUNT_MAX) throw invalidArchive(cursor.offset, "large objects", "there are too many");
      const oid = await cursor.readOid();
      if (oid === 0) return;
      const startOffset = cursor.offset;
      let endOffset: number | null = null;
      const read = (readSignal?: AbortSignal): AsyncIterable<Buffer> =>
        this.#readLargeObject(oid, startOffset, readSignal ?? signal, (offset) => {
          endOffset = offset;
        });
      yield { oid, lengthBytes: null, read };
      // Whoever has read the object has found its end; else it is passed over.
      if (endOffset === null) await cursor.skipRuns();
      else cursor = this.#cursorAt(endOffset, signal);
    }
  }

  async *#readLargeObject(
    oid: number,
    offset: number,
    signal: AbortSignal | undefined,
    onEnd: (offset: number) => void,
  ): AsyncGenerator<Buffer, void, void> {
    const cursor = this.#cursorAt(offset, signal);
    const chunks = decodeRuns(cursor.readRuns(), this.toc.header.compression, `large object ${oid}`);
    for await (const { bytes } of chunks) if (bytes.length > 0) yield bytes;
    onEnd(cursor.offset);
  }

  /** Bytes of each entry's data as it lies in the archive, where that can be told without reading it. */
  dataSizes(): Map<number, number> {
    const places = this.toc.entries
      .filter(({ layout }) => layout?.dataState === "set")
      .map(({ dumpId, layout }) => ({ dumpId, offset: layout?.dataOffset ?? 0 }))
      .toSorted((one, other) => one.offset - other.offset);
    const sizes = places.map(({ dumpId, offset }, index): [number, number] => {
      return [dumpId, Math.max(0, (places[index + 1]?.offset ?? this.#source.sizeBytes) - offset)];
    });
    return new Map(sizes);
  }

  /** The OIDs of a BLOBS entry, without decoding anything. */
  async largeObjectOids(entry: TocEntry, signal?: AbortSignal): Promise<number[]> {
    const cursor = await this.#openBlock(entry, "blobs", signal);
    const oids: number[] = [];
    for (let oid = await cursor.readOid(); oid !== 0; oid = await cursor.readOid()) {
      if (oids.length >= LARGE_OBJECT_COUNT_MAX) {
        throw invalidArchive(cursor.offset, "large objects", "there are too many");
      }
      oids.push(oid);
      await cursor.skipRuns();
    }
    return oids;
  }

  #cursorAt(offset: number, signal: AbortSignal | undefined): BlockCursor {
    return new BlockCursor(this.#source, this.toc.header.intSizeBytes, offset, signal);
  }

  /** A cursor behind the header of the entry's block. */
  async #openBlock(entry: TocEntry, kind: BlockHeader["kind"], signal: AbortSignal | undefined): Promise<BlockCursor> {
    assert(entry.hadDumper, `entry ${entry.dumpId} has no data`);
    const cursor = this.#cursorAt(await this.#blockOffset(entry, signal), signal);
    const header = await cursor.readBlockHeader();
    if (header === null || header.dumpId !== entry.dumpId) {
      const found = header === null ? "the end of the archive" : `dump id ${header.dumpId}`;
      throw invalidArchive(cursor.offset, `data of dump id ${entry.dumpId}`, `found ${found}`);
    }
    if (header.kind !== kind) {
      throw invalidArchive(header.offset, `data of dump id ${entry.dumpId}`, `the block holds ${header.kind}`);
    }
    return cursor;
  }

  async #blockOffset(entry: TocEntry, signal: AbortSignal | undefined): Promise<number> {
    const { layout } = entry;
    if (layout?.dataState === "set") {
      if (layout.dataOffset < this.dataStartOffset || layout.dataOffset >= this.#source.sizeBytes) {
        throw invalidArchive(this.dataStartOffset, `data offset of dump id ${entry.dumpId}`, "not in the data part");
      }
      return layout.dataOffset;
    }
    this.#blockOffsets ??= this.#findBlocks(signal);
    const pending = this.#blockOffsets;
    pending.catch(() => {
      // A search that was cancelled or failed is done again next time.
      if (this.#blockOffsets === pending) this.#blockOffsets = null;
    });
    const offset = (await pending).get(entry.dumpId);
    if (offset === undefined) throw corruptData(`data of dump id ${entry.dumpId}`, "the archive holds no block for it");
    return offset;
  }

  async #findBlocks(signal: AbortSignal | undefined): Promise<ReadonlyMap<number, number>> {
    const offsets = new Map<number, number>();
    const cursor = this.#cursorAt(this.dataStartOffset, signal);
    // Nothing of interest follows the last block: a pg_dump that takes its pipe for a file writes its table of contents
    // there again.
    const blockCount = this.toc.entries.filter(({ hadDumper }) => hadDumper).length;
    while (offsets.size < blockCount) {
      const header = await cursor.readBlockHeader();
      if (header === null) break;
      if (offsets.has(header.dumpId)) {
        throw invalidArchive(header.offset, "dump id of block", `${header.dumpId} has two blocks`);
      }
      offsets.set(header.dumpId, header.offset);
      if (header.kind === "data") await cursor.skipRuns();
      else await cursor.skipLargeObjects();
    }
    return offsets;
  }
}

/**
 * The OIDs of each BLOBS entry, by dump id; cheap when the archive holds no data, only empty blocks. `known` is what
 * readToc() gave for this source.
 */
export async function readLargeObjectOids(
  source: RandomAccessSource,
  known: ReadTocResult,
  signal?: AbortSignal,
): Promise<Map<number, number[]>> {
  const reader = CustomArchiveReader.over(source, known);
  const oids = new Map<number, number[]>();
  for (const entry of known.toc.entries) {
    if (entry.hadDumper && entry.description === "BLOBS") {
      oids.set(entry.dumpId, await reader.largeObjectOids(entry, signal));
    }
  }
  return oids;
}
