// Writes lists: full pages of a long list by themselves, the ends of many lists into shared pages.
// Source: docs/formats/repository.md §5. Memory: one span of at most PAGE_BYTES for each open list.

import { assert } from "../base/assert.ts";
import { KIB } from "../base/units.ts";
import type { ChunkReference, FinishedList, LargeObjectRecord, SegmentRecord } from "./lists.ts";
import { RECORD_CHUNKS_MAX, RECORD_OBJECTS_MAX, SpanEncoder } from "./list-codec.ts";
import type { ListSpan } from "./manifest.ts";
import type { PackPlace } from "./pack-stream.ts";

/** A span or shared page that has this much is written. */
export const PAGE_BYTES = 256 * KIB;

/** What lists need of their run. */
export interface PageSink {
  /** Seals a page into the current pack. */
  storePage(bytes: Uint8Array): Promise<PackPlace>;
  /** The index in the manifest of a pack that a chunk lies in; throws when the chunk may not be referred to. */
  referTo(chunk: Pick<ChunkReference, "pack" | "itemNumber">): {
    readonly packIndex: number;
    readonly isReused: boolean;
  };
}

/** A page: where it lies (null: not written yet) and its length. */
export interface WrittenPage {
  readonly place: PackPlace;
  readonly rawLengthBytes: number;
}

/** All list pages of a run. */
export class PageWriter {
  readonly #sink: PageSink;
  readonly #pages: (WrittenPage | null)[] = [];
  #shared: { pageIndex: number; parts: Uint8Array[]; lengthBytes: number } | null = null;

  constructor(sink: PageSink) {
    this.#sink = sink;
  }

  /** Writes a span as a page of its own. */
  async addPage(span: Uint8Array): Promise<ListSpan> {
    const pageIndex = this.#pages.push(null) - 1;
    await this.#store(pageIndex, span);
    return [pageIndex, 0, span.length];
  }

  /** Puts a span into the page that many lists share. */
  async addShared(span: Uint8Array): Promise<ListSpan> {
    if (span.length >= PAGE_BYTES / 2) return await this.addPage(span);
    this.#shared ??= { pageIndex: this.#pages.push(null) - 1, parts: [], lengthBytes: 0 };
    const shared = this.#shared;
    const place: ListSpan = [shared.pageIndex, shared.lengthBytes, span.length];
    shared.parts.push(span);
    shared.lengthBytes += span.length;
    if (shared.lengthBytes >= PAGE_BYTES) await this.#flush();
    return place;
  }

  /** Writes the last shared page and returns all pages. */
  async finish(): Promise<readonly WrittenPage[]> {
    await this.#flush();
    return this.#pages.map((page) => {
      assert(page !== null, "every page is written");
      return page;
    });
  }

  async #flush(): Promise<void> {
    const shared = this.#shared;
    if (shared === null) return;
    this.#shared = null;
    await this.#store(shared.pageIndex, Buffer.concat(shared.parts));
  }

  async #store(pageIndex: number, bytes: Uint8Array): Promise<void> {
    const place = await this.#sink.storePage(bytes);
    this.#pages[pageIndex] = { place, rawLengthBytes: bytes.length };
  }
}

/** The sums and spans that every list has. One call at a time. */
class ListWriter {
  protected readonly encoder = new SpanEncoder();
  readonly #sink: PageSink;
  readonly #pages: PageWriter;
  readonly #spans: ListSpan[] = [];
  readonly #packs = new Set<number>();
  readonly #sums = {
    rowCount: 0,
    objectCount: 0,
    rawBytes: 0,
    sealedBytes: 0,
    chunkCount: 0,
    reusedChunkCount: 0,
    reusedBytes: 0,
  };
  #deltaChunkCount = 0;
  #isFinished = false;

  constructor(sink: PageSink, pages: PageWriter) {
    this.#sink = sink;
    this.#pages = pages;
  }

  /** Writes the rest; the result goes into the manifest's record. */
  async finish(): Promise<FinishedList> {
    assert(!this.#isFinished, "a list is finished once");
    this.#isFinished = true;
    if (this.encoder.lengthBytes > 0) this.#spans.push(await this.#pages.addShared(this.encoder.take()));
    const deltaChunkCount = this.#deltaChunkCount;
    return {
      list: this.#spans,
      ...this.#sums,
      packs: [...this.#packs],
      ...(deltaChunkCount > 0 && { deltaChunkCount }),
    };
  }

  protected count(chunks: readonly ChunkReference[], added: { readonly rows: number; readonly objects: number }): void {
    assert(!this.#isFinished, "a finished list takes no more");
    const sums = this.#sums;
    sums.rowCount += added.rows;
    sums.objectCount += added.objects;
    for (const chunk of chunks) {
      const { packIndex, isReused } = this.#sink.referTo(chunk);
      this.#packs.add(packIndex);
      // What a delta leans on is needed as the delta is; sums count chunks alone, so that none counts twice.
      if (chunk.base !== null) {
        this.#packs.add(this.#sink.referTo(chunk.base).packIndex);
        this.#deltaChunkCount += 1;
      }
      sums.chunkCount += 1;
      sums.rawBytes += chunk.rawLengthBytes;
      sums.sealedBytes += chunk.lengthBytes;
      if (!isReused) continue;
      sums.reusedChunkCount += 1;
      sums.reusedBytes += chunk.lengthBytes;
    }
  }

  protected async flushFullPage(): Promise<void> {
    if (this.encoder.lengthBytes >= PAGE_BYTES) this.#spans.push(await this.#pages.addPage(this.encoder.take()));
  }
}

/** The list of a relation: segments in the order of their blocks. Calls must not overlap. */
export class SegmentListWriter extends ListWriter {
  /** Adds a segment, or with `continuesPrevious` more of the segment before it. */
  async add(segment: SegmentRecord): Promise<void> {
    const rows = segment.chunks.reduce((sum, chunk) => sum + chunk.rowCount, 0);
    assert(rows === segment.rowCount, "the rows of a segment are those of its chunks");
    this.count(segment.chunks, { rows, objects: 0 });
    if (segment.chunks.length <= RECORD_CHUNKS_MAX) {
      this.encoder.addSegment(segment);
      return await this.flushFullPage();
    }
    for (const [index, chunks] of slices(segment.chunks, RECORD_CHUNKS_MAX).entries()) {
      const rowCount = chunks.reduce((sum, chunk) => sum + chunk.rowCount, 0);
      const continuesPrevious = index > 0 || segment.continuesPrevious === true;
      this.encoder.addSegment({ ...segment, chunks, rowCount, continuesPrevious });
      await this.flushFullPage();
    }
  }
}

/** The list of a set of large objects, in the order in which they are restored. Calls must not overlap. */
export class LargeObjectListWriter extends ListWriter {
  /** Adds one large object or several that share a chunk, or with `continuesPrevious` more of the one before it. */
  async add(record: LargeObjectRecord): Promise<void> {
    if (record.kind === "shared") return await this.#addShared(record);
    this.count(record.chunks, { rows: 0, objects: record.continuesPrevious === true ? 0 : 1 });
    for (const [index, chunks] of slices(record.chunks, RECORD_CHUNKS_MAX).entries()) {
      const continuesPrevious = index > 0 || record.continuesPrevious === true;
      const lengthBytes = continuesPrevious ? 0 : record.lengthBytes;
      this.encoder.addLargeObjects({ ...record, chunks, lengthBytes, continuesPrevious });
      await this.flushFullPage();
    }
  }

  async #addShared(record: LargeObjectRecord & { kind: "shared" }): Promise<void> {
    const total = record.objects.reduce((sum, object) => sum + object.lengthBytes, 0);
    assert(total === record.chunk.rawLengthBytes, "the lengths of large objects add up to their chunk");
    assert(record.objects.length <= RECORD_OBJECTS_MAX, `at most ${RECORD_OBJECTS_MAX} large objects share a chunk`);
    this.count([record.chunk], { rows: 0, objects: record.objects.length });
    this.encoder.addLargeObjects(record);
    await this.flushFullPage();
  }
}

/** At least one slice, so that an empty segment or object has its record. */
function slices<T>(items: readonly T[], sizeMax: number): T[][] {
  const result = [items.slice(0, sizeMax)];
  for (let start = sizeMax; start < items.length; start += sizeMax) result.push(items.slice(start, start + sizeMax));
  return result;
}
