// The work of the readers in order: segments of the tables, then buckets of large objects, as far as the sink does not take
// them over, each with the ids of the chunks that the sink has for it.

import type { DataSink, LargeObjectBucket, OfferedChunk } from "./data-sink.ts";
import type { TablePlan } from "./segment-plan.ts";

/** Low bits in which the OIDs of one bucket may differ: at most 1,024 objects. */
const BUCKET_BITS = 10;

export interface TableTask {
  readonly kind: "table";
  readonly taskId: number;
  readonly table: TablePlan;
  readonly segmentIndex: number;
  readonly knownIds: Uint8Array | null;
  readonly offered: readonly OfferedChunk[] | null;
}

export interface LargeObjectsTask {
  readonly kind: "large-objects";
  readonly taskId: number;
  readonly bucket: LargeObjectBucket;
  readonly knownIds: Uint8Array | null;
}

export type PlannedTask = TableTask | LargeObjectsTask;

/** Buckets of the large objects of BLOBS entries, in their order. */
export function planLargeObjects(oidsByDumpId: ReadonlyMap<number, readonly number[]>): LargeObjectBucket[] {
  const buckets: LargeObjectBucket[] = [];
  for (const [dumpId, oids] of oidsByDumpId) {
    let current: number[] = [];
    for (const oid of oids.toSorted((a, b) => a - b)) {
      const isNew = current.length === 0 || oid >>> BUCKET_BITS !== current[0]! >>> BUCKET_BITS;
      if (isNew) {
        current = [];
        buckets.push({ dumpId, bucketIndex: buckets.length, oids: current });
      }
      current.push(oid);
    }
  }
  return buckets;
}

/** What is to be read, and by whom it is taken. */
export interface TaskSource {
  readonly tables: readonly TablePlan[];
  readonly buckets: readonly LargeObjectBucket[];
  readonly sink: DataSink;
  onTakenOver?(table: TablePlan): void;
  onLargeObjectsTakenOver?(): void;
}

/** All tasks but the segments that the sink takes over; it is asked for what it has as each is taken. */
export async function* listTasks(source: TaskSource, signal: AbortSignal): AsyncGenerator<PlannedTask> {
  const { tables, buckets, sink } = source;
  let taskId = 0;
  for (const table of tables) {
    for (let segmentIndex = 0; segmentIndex < table.segments.length; segmentIndex += 1) {
      if (await sink.takesOver(table, segmentIndex, signal)) {
        source.onTakenOver?.(table);
        continue;
      }
      const knownIds = await sink.knownTableChunks(table, segmentIndex);
      const offered = sink.offeredTableChunks?.(table, segmentIndex) ?? null;
      yield { kind: "table", taskId: taskId++, table, segmentIndex, knownIds, offered };
    }
  }
  for (const bucket of buckets) {
    if ((await sink.takesOverLargeObjects?.(bucket, signal)) === true) {
      source.onLargeObjectsTakenOver?.();
      continue;
    }
    const knownIds = await sink.knownLargeObjectChunks(bucket);
    yield { kind: "large-objects", taskId: taskId++, bucket, knownIds };
  }
}
