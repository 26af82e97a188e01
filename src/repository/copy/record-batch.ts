// Gathers records of a list, so that chunks which lie together are fetched together and the records stay in their order.
// Memory: about ENTRIES_MAX references to chunks and large objects, and one record more; some 20 MB.

import type { ChunkReference } from "../lists.ts";
import type { Known } from "./known-chunks.ts";

/** Chunks to be sealed anew that are gathered before they are settled together. */
const MISSING_CHUNKS_MAX = 256;
const RECORDS_MAX = 1024;
/** Chunks, and large objects that share one: a single record may have 16,384. */
const ENTRIES_MAX = 50_000;

/** A record of a list with what is known of its chunks. */
export interface PendingRecord<T> {
  readonly record: T;
  readonly chunks: readonly ChunkReference[];
  /** For each chunk; null: it has to be sealed anew. */
  readonly found: (ChunkReference | null)[];
  readonly known: Known;
  /** Large objects that share its chunk. */
  readonly objectCount: number;
}

/** A chunk to be sealed anew, and who is told where it went. */
export interface MissingChunk {
  readonly chunk: ChunkReference;
  readonly known: Known;
  readonly settle: (reference: ChunkReference) => void;
}

/** Who seals what is missing, and hears of what is settled. */
interface Copier {
  sealAnew(missing: readonly MissingChunk[]): Promise<void>;
  countSettled(found: readonly (ChunkReference | null)[]): void;
}

/** See the head of this file. */
export class RecordBatch<T> {
  readonly #copier: Copier;
  readonly #onSettled: (pending: PendingRecord<T>) => Promise<void>;
  #records: PendingRecord<T>[] = [];
  #missing: MissingChunk[] = [];
  #entryCount = 0;

  constructor(copier: Copier, onSettled: (pending: PendingRecord<T>) => Promise<void>) {
    this.#copier = copier;
    this.#onSettled = onSettled;
  }

  async add(pending: PendingRecord<T>): Promise<void> {
    const { chunks, found, known, objectCount } = pending;
    this.#records.push(pending);
    this.#entryCount += chunks.length + objectCount;
    for (const [index, chunk] of chunks.entries()) {
      if (found[index] !== null) continue;
      this.#missing.push({ chunk, known, settle: (reference) => (found[index] = reference) });
    }
    const { length } = this.#records;
    if (this.#missing.length >= MISSING_CHUNKS_MAX || length >= RECORDS_MAX || this.#entryCount >= ENTRIES_MAX) {
      await this.flush();
    }
  }

  async flush(): Promise<void> {
    const [records, missing] = [this.#records, this.#missing];
    [this.#records, this.#missing, this.#entryCount] = [[], [], 0];
    await this.#copier.sealAnew(missing);
    for (const pending of records) {
      await this.#onSettled(pending);
      this.#copier.countSettled(pending.found);
    }
  }
}
