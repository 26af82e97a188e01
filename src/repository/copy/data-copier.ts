// Writes the lists of a copy: every chunk refers to where it lies in the target, or is opened, checked as a restore
// checks it, and sealed anew; a delta becomes a full chunk then, unless the target has what it leans on. Segments, large
// objects and chunks stay in their order.
// Memory: RELATIONS_AT_ONCE relations, each with what ChunkReader reads ahead and CHUNKS_AT_ONCE chunks with their plaintexts,
// and a RecordBatch.

import { freeBuffer } from "../../base/free-buffer.ts";
import { chunkId } from "../chunk-id.ts";
import { mapAhead } from "../context.ts";
import type { ChunkReference, FinishedList, LargeObjectRecord, SegmentRecord } from "../lists.ts";
import type { LargeObjectSet, RelationRecord } from "../manifest.ts";
import type { UnsealedChunk } from "../chunk-reader.ts";
import type { RestorePoint } from "../restore-point.ts";
import type { NewChunk, Run } from "../run.ts";
import { compress } from "../sealed-object.ts";
import { corrupt } from "../sealing.ts";
import type { ChunkFinder } from "./chunk-finder.ts";
import { chunksOf } from "./known-chunks.ts";
import type { Known, KnownChunks } from "./known-chunks.ts";
import { RecordBatch } from "./record-batch.ts";
import type { MissingChunk, PendingRecord } from "./record-batch.ts";

const RELATIONS_AT_ONCE = 3;
const CHUNKS_AT_ONCE = 4;
/** As in a backup, for deltas that become full chunks. */
const DELTA_LEVEL = 3;

export interface DataCopierParts {
  readonly restorePoint: RestorePoint;
  readonly run: Run;
  readonly finder: ChunkFinder;
  readonly known: KnownChunks;
  /** The target's key of chunk ids; undefined: ids are the source's. */
  readonly secret: Uint8Array | null | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onCopied: (added: {
    readonly sealedBytes: number;
    readonly rawBytes: number;
    readonly rowCount: number;
  }) => void;
  readonly onRelationDone: () => void;
}

/** See the head of this file. */
export class DataCopier {
  readonly #parts: DataCopierParts;
  resealedChunkCount = 0;
  resealedBytes = 0;

  constructor(parts: DataCopierParts) {
    this.#parts = parts;
  }

  /** The records of all relations, in their order. Throws OperatingError "corrupt". */
  async copyRelations(): Promise<readonly RelationRecord[]> {
    const records: RelationRecord[] = [];
    const copies = mapAhead(this.#parts.restorePoint.manifest.relations, RELATIONS_AT_ONCE, async (relation) => {
      const record = await this.#copyRelation(relation);
      this.#parts.onRelationDone();
      return record;
    });
    for await (const record of copies) records.push(record);
    return records;
  }

  /** The records of all sets of large objects. Throws OperatingError "corrupt". */
  async copyLargeObjects(): Promise<readonly LargeObjectSet[]> {
    const sets: LargeObjectSet[] = [];
    for (const set of this.#parts.restorePoint.manifest.largeObjects) sets.push(await this.#copyLargeObjects(set));
    return sets;
  }

  async #copyRelation(relation: RelationRecord): Promise<RelationRecord> {
    const { known, restorePoint, run, signal } = this.#parts;
    const name = `${relation.namespace}.${relation.name}`;
    const list = run.openSegmentList();
    const cursor = known.segmentsOf(relation);
    const batch = new RecordBatch<SegmentRecord>(this, async ({ record, found }) => {
      await list.add({ ...record, chunks: found as ChunkReference[] });
    });
    try {
      for await (const record of restorePoint.segments(relation, signal)) {
        const rowCount = record.chunks.reduce((sum, chunk) => sum + chunk.rowCount, 0);
        if (rowCount !== record.rowCount)
          throw corrupt(name, `a segment has ${rowCount} rows, its record ${record.rowCount}`);
        await batch.add(this.#pending(record, record.chunks, await cursor.at(record.firstBlock)));
      }
      await batch.flush();
    } finally {
      await cursor.close();
    }
    const finished = await list.finish();
    checkSums(name, finished, relation);
    if (finished.rowCount !== relation.rowCount) {
      throw corrupt(name, `its list has ${finished.rowCount} rows, its record ${relation.rowCount}`);
    }
    return { ...withoutDeltas(relation), ...finished };
  }

  async #copyLargeObjects(set: LargeObjectSet): Promise<LargeObjectSet> {
    const { known, restorePoint, run, signal } = this.#parts;
    const list = run.openLargeObjectList();
    const batch = new RecordBatch<LargeObjectRecord>(this, async ({ record, found }) => {
      const chunks = found as ChunkReference[];
      await list.add(record.kind === "shared" ? { ...record, chunk: chunks[0]! } : { ...record, chunks });
    });
    const here = await known.largeObjects();
    for await (const record of restorePoint.largeObjects(set, signal)) {
      const objectCount = record.kind === "shared" ? record.objects.length : 0;
      await batch.add({ ...this.#pending(record, chunksOf(record), here), objectCount });
    }
    await batch.flush();
    const finished = await list.finish();
    checkSums("large objects", finished, set);
    if (finished.objectCount !== set.objectCount) {
      throw corrupt("large objects", `their list has ${finished.objectCount}, its record ${set.objectCount}`);
    }
    return { ...withoutDeltas(set), ...finished };
  }

  #pending<T>(record: T, chunks: readonly ChunkReference[], known: Known): PendingRecord<T> {
    this.#parts.signal?.throwIfAborted();
    const found = chunks.map((chunk) => this.#parts.finder.find(chunk, known));
    return { record, chunks, found, known, objectCount: 0 };
  }

  /** Seals anew what is missing, in its order. */
  async sealAnew(missing: readonly MissingChunk[]): Promise<void> {
    const { restorePoint, signal } = this.#parts;
    let index = 0;
    const chunks = restorePoint.readChunks(
      missing.map(({ chunk }) => chunk),
      signal,
    );
    const sealed = mapAhead(chunks, CHUNKS_AT_ONCE, async (chunk) => {
      const one = missing[index]!;
      index += 1;
      one.settle(await this.#sealOne(chunk, one.known));
    });
    for await (const _ of sealed);
  }

  /** Counts a record that is settled. */
  countSettled(found: readonly (ChunkReference | null)[]): void {
    let [sealedBytes, rawBytes, rowCount] = [0, 0, 0];
    for (const chunk of found) {
      sealedBytes += chunk?.lengthBytes ?? 0;
      rawBytes += chunk?.rawLengthBytes ?? 0;
      rowCount += chunk?.rowCount ?? 0;
    }
    this.#parts.onCopied({ sealedBytes, rawBytes, rowCount });
  }

  async #sealOne(chunk: UnsealedChunk, known: Known): Promise<ChunkReference> {
    const { finder, restorePoint, run, secret } = this.#parts;
    const { bytes, reference } = chunk;
    const { continues, kind, rawLengthBytes, rowCount } = reference;
    // Decoded, and its id made again: what is wrong in the source must not get a new seal.
    const raw = await restorePoint.decodeChunk(chunk);
    const id = secret === undefined ? reference.id : chunkId(secret, kind, raw);
    if (raw.buffer !== bytes.buffer) freeBuffer(raw);
    const there = finder.findOpened(reference, id, known);
    if (there !== null) return there;
    const stored = await run.storeChunk({ kind, id, rawLengthBytes, rowCount, continues, ...(await this.#formOf(chunk, known)) }); // prettier-ignore
    if (chunk.delta !== undefined) freeBuffer(bytes);
    // Else it was found among what a copy that broke off has left.
    const isNew = stored.pack.startsWith(`${run.id}-`);
    this.resealedChunkCount += isNew ? 1 : 0;
    this.resealedBytes += isNew ? stored.lengthBytes : 0;
    return stored;
  }

  /**
   * What is sealed of a chunk: its stored form. A delta stays one where the target has what it leans on, equal to its last
   * byte by the id that it has there; else it becomes a full chunk.
   */
  async #formOf({ bytes, delta, encoding, reference }: UnsealedChunk, known: Known): Promise<StoredForm> {
    const { base } = reference;
    if (base === null || delta === undefined) return { encoding, bytes };
    const { finder, restorePoint, run, secret } = this.#parts;
    const idOf = (plaintext: Uint8Array): Uint8Array => chunkId(secret ?? null, base.kind, plaintext);
    const baseId = secret === undefined ? base.id : await restorePoint.chunks.withBase(base, idOf);
    const there = run.takesDeltas ? finder.findOpened(base, baseId, known) : null;
    if (there?.base === null) return { encoding: "zstd-delta", base: there, bytes: delta };
    return { encoding: "zstd", bytes: await compress(bytes, DELTA_LEVEL) };
  }
}

type StoredForm = Pick<NewChunk, "encoding" | "base" | "bytes">;

/** How many deltas there are is said by the list that was written. */
function withoutDeltas<T extends RelationRecord | LargeObjectSet>(record: T): T {
  const { deltaChunkCount: _, ...rest } = record;
  return rest as T;
}

function checkSums(name: string, finished: FinishedList, record: RelationRecord | LargeObjectSet): void {
  if (finished.chunkCount === record.chunkCount && finished.rawBytes === record.rawBytes) return;
  throw corrupt(name, `its list has ${finished.chunkCount} chunks, its record ${record.chunkCount}`);
}
