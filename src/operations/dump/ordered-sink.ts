// Brings the chunks of several readers into the one order of an archive file: what is next is written at once, what
// came early waits in bounded memory. A reader whose chunk has to wait too long stands still; the one that reads what
// is next never does, so this cannot lock up.

import type { ConvertedToc, CustomArchiveWriter, TocEntry } from "../../archive/index.ts";
import { assert } from "../../base/assert.ts";
import { MIB } from "../../base/units.ts";
import type { DataSink, Dump, LargeObjectBucket, LargeObjectChunk, ReadChunk, TablePlan } from "../../dump/index.ts";

/** Frames that came early and wait, at most; one chunk more for each reader. */
const WAITING_SIZE_BYTES_MAX = 48 * MIB;

interface Slot {
  readonly entry: TocEntry;
  readonly kind: "table" | "large-objects";
  /** First and last slot of its entry: the entry's data begins and ends there. */
  readonly isFirst: boolean;
  readonly isLast: boolean;
  readonly waiting: { readonly write: () => Promise<void>; readonly sizeBytes: number }[];
  isDone: boolean;
}

/** How much each table has given so far. */
export interface TableCount {
  readonly table: TablePlan;
  rowCount: number;
  rawBytes: number;
}

export class OrderedArchiveSink implements DataSink {
  readonly tables = new Map<number, TableCount>();
  largeObjectCount = 0;
  rawBytes = 0;
  rowCount = 0;
  storedBytes = 0;
  readonly #writer: CustomArchiveWriter;
  readonly #usesFrames: boolean;
  readonly #slots: Slot[] = [];
  readonly #firstSlotOfTable = new Map<number, number>();
  readonly #slotOfBucket = new Map<number, number>();
  readonly #wakeUps: (() => void)[] = [];
  #current = 0;
  /** The slot whose entry was begun last. */
  #begun = -1;
  #waitingBytes = 0;
  #openObject: number | null = null;
  #work: Promise<void> = Promise.resolve();

  /** `usesFrames`: chunks are written as they are; else they are plain text that the writer compresses. */
  constructor(writer: CustomArchiveWriter, { toc, mapping }: ConvertedToc, dump: Dump, usesFrames: boolean) {
    this.#writer = writer;
    this.#usesFrames = usesFrames;
    for (const table of dump.tables) this.tables.set(table.dumpId, { table, rowCount: 0, rawBytes: 0 });
    for (const entry of toc.entries.filter(({ hadDumper }) => hadDumper)) {
      if (entry.description === "BLOBS") this.#addBuckets(entry, dump, mapping.get(entry.dumpId) ?? []);
      else this.#addTable(entry);
    }
    this.#work = this.#advance(); // an entry without any data may stand first
  }

  async takesOver(): Promise<boolean> {
    return false;
  }

  async knownTableChunks(): Promise<null> {
    return null;
  }

  async knownLargeObjectChunks(): Promise<null> {
    return null;
  }

  tableChunk(table: TablePlan, segmentIndex: number, chunk: ReadChunk): Promise<void> {
    const count = this.tables.get(table.dumpId)!;
    count.rowCount += chunk.rowCount;
    count.rawBytes += chunk.rawLengthBytes;
    this.rowCount += chunk.rowCount;
    return this.#take(this.#slotOfSegment(table, segmentIndex), chunk, () => this.#write(chunk.frame!));
  }

  segmentDone(table: TablePlan, segmentIndex: number): Promise<void> {
    return this.#finish(this.#slotOfSegment(table, segmentIndex));
  }

  largeObjectChunk(bucket: LargeObjectBucket, { members, chunk }: LargeObjectChunk): Promise<void> {
    assert(members.length === 1, "in an archive each large object has frames of its own");
    if (!chunk.continues) this.largeObjectCount += 1;
    const write = async (): Promise<void> => {
      const { oid } = members[0]!;
      if (this.#openObject !== oid) await this.#writer.beginLargeObject(oid);
      this.#openObject = oid;
      if (chunk.rawLengthBytes > 0) await this.#write(chunk.frame!);
      if (chunk.continues) return;
      await this.#writer.endLargeObject();
      this.#openObject = null;
    };
    return this.#take(this.#slotOfBucket.get(bucket.bucketIndex)!, chunk, write);
  }

  largeObjectBucketDone(bucket: LargeObjectBucket): Promise<void> {
    return this.#finish(this.#slotOfBucket.get(bucket.bucketIndex)!);
  }

  /** Writes what is left: entries that nothing was read for. All slots must be done. */
  async finish(): Promise<void> {
    await this.#work;
    assert(this.#current === this.#slots.length, "every segment was read");
  }

  async #write(frame: Uint8Array): Promise<void> {
    this.storedBytes += frame.length;
    if (this.#usesFrames) await this.#writer.writeFrame(frame);
    else await this.#writer.writePlain(frame);
  }

  #addTable(entry: TocEntry): void {
    const count = this.tables.get(entry.dumpId);
    assert(count !== undefined, "what is read has an entry");
    this.#firstSlotOfTable.set(entry.dumpId, this.#slots.length);
    this.#addSlots(entry, "table", count.table.segments.length);
  }

  #addBuckets(entry: TocEntry, dump: Dump, sourceDumpIds: readonly number[]): void {
    const buckets = dump.largeObjectBuckets.filter(({ dumpId }) => sourceDumpIds.includes(dumpId));
    for (const [index, { bucketIndex }] of buckets.entries()) {
      this.#slotOfBucket.set(bucketIndex, this.#slots.length + index);
    }
    this.#addSlots(entry, "large-objects", buckets.length);
  }

  #addSlots(entry: TocEntry, kind: Slot["kind"], count: number): void {
    const slots = Math.max(count, 1); // an entry without data begins and ends all the same
    for (let index = 0; index < slots; index += 1) {
      const isLast = index === slots - 1;
      this.#slots.push({ entry, kind, isFirst: index === 0, isLast, waiting: [], isDone: count === 0 });
    }
  }

  #slotOfSegment(table: TablePlan, segmentIndex: number): number {
    return this.#firstSlotOfTable.get(table.dumpId)! + segmentIndex;
  }

  async #take(slotIndex: number, chunk: ReadChunk, write: () => Promise<void>): Promise<void> {
    assert(chunk.frame !== null, "an archive has no chunks from before");
    this.rawBytes += chunk.rawLengthBytes;
    if (slotIndex === this.#current) {
      await this.#enqueue(write);
      return;
    }
    this.#slots[slotIndex]!.waiting.push({ write, sizeBytes: chunk.frame.length });
    this.#waitingBytes += chunk.frame.length;
    while (this.#waitingBytes > WAITING_SIZE_BYTES_MAX && slotIndex !== this.#current) {
      await new Promise<void>((resolve) => this.#wakeUps.push(resolve));
    }
  }

  async #finish(slotIndex: number): Promise<void> {
    this.#slots[slotIndex]!.isDone = true;
    if (slotIndex === this.#current) await this.#enqueue(() => this.#advance());
  }

  /** Writes are made one after another, in the order of their asking. */
  #enqueue(work: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(() => this.#beginEntry()).then(work);
    return this.#work;
  }

  async #beginEntry(): Promise<void> {
    const slot = this.#slots[this.#current];
    if (slot === undefined || !slot.isFirst || this.#begun === this.#current) return;
    this.#begun = this.#current;
    if (slot.kind === "table") await this.#writer.beginTableData(slot.entry);
    else await this.#writer.beginLargeObjects(slot.entry);
  }

  /** Ends finished slots and writes what waits for those that follow. */
  async #advance(): Promise<void> {
    await this.#beginEntry();
    while (this.#slots[this.#current]?.isDone === true) {
      const slot = this.#slots[this.#current]!;
      if (slot.isLast) await (slot.kind === "table" ? this.#writer.endTableData() : this.#writer.endLargeObjects());
      this.#current += 1;
      await this.#beginEntry();
      await this.#writeWaiting();
      for (const wakeUp of this.#wakeUps.splice(0)) wakeUp();
    }
  }

  async #writeWaiting(): Promise<void> {
    const waiting = this.#slots[this.#current]?.waiting ?? [];
    while (waiting.length > 0) {
      const next = waiting.shift()!;
      this.#waitingBytes -= next.sizeBytes;
      await next.write();
    }
  }
}
