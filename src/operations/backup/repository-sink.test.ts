import { setTimeout as delay } from "node:timers/promises";

import { expect, test } from "vitest";

import { planTable, type TablePlan } from "../../dump/segment-plan.ts";
import type { Run } from "../../repository/index.ts";
import { RepositorySink } from "./repository-sink.ts";

const STORING = { encoding: "zstd", choice: "auto", signal: new AbortController().signal } as const;

/** A run without a parent whose lists take a while to add a segment, as when a page of the list is full. */
function slowRun(addMs = 5): { run: Run; added: number[]; finishedCount: () => number } {
  const added: number[] = [];
  let finished = 0;
  const list = {
    add: async ({ firstBlock }: { firstBlock: number }) => {
      if (addMs > 0) await new Promise((resolve) => setTimeout(resolve, addMs));
      added.push(firstBlock);
    },
    finish: async () => {
      finished += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
      return { list: [], rowCount: 0 };
    },
  };
  const run = { parent: null, openSegmentList: () => list, openLargeObjectList: () => list } as unknown as Run;
  return { run, added, finishedCount: () => finished };
}

function planOfSegments(segmentCount: number): TablePlan {
  const relation = {
    oid: 1,
    namespace: "public",
    name: "t",
    kind: "r",
    persistence: "p",
    accessMethod: "heap",
    tablespaceOid: 0,
    filenode: 1,
    blockCount: segmentCount,
    toastBlockCount: 0,
  };
  return planTable({ dumpId: 1, relation, copyStatement: "COPY public.t (a) TO stdout;" }, 18, 1);
}

test("a table whose last segments end at nearly the same time has one record", async () => {
  const { run, added, finishedCount } = slowRun();
  const sink = new RepositorySink(run, STORING);
  const plan = planOfSegments(4);
  for (const index of plan.segments.keys()) await sink.knownTableChunks(plan, index);
  await Promise.all([2, 0, 1, 3].map((index) => sink.segmentDone(plan, index, 0)));
  expect(added).toEqual([0, 1, 2, 3]);
  expect(finishedCount()).toBe(1);
  expect(sink.relations.length).toBe(1);
});

interface ParentOptions {
  /** Whether its list can be read at once. */
  readonly isShort?: boolean;
  readonly listEndsAt?: number;
  readonly lost?: number;
}

/** A parent whose list has a segment of one chunk for each block. */
function parentOf(segmentCount: number, options: ParentOptions = {}): Run {
  const { isShort = false, listEndsAt = segmentCount, lost = -1 } = options;
  const chunkOf = (block: number): object => ({ id: Buffer.alloc(32, block), rawLengthBytes: 10, rowCount: 1, block });
  const relation = { oid: 1, namespace: "public", name: "t", segmentBlocks: 1, chunkCount: segmentCount };
  async function* segments(): AsyncGenerator<object> {
    for (let block = 0; block < listEndsAt; block += 1) {
      const blockCount = block === segmentCount - 1 ? null : 1;
      yield { firstBlock: block, blockCount, rowCount: 1, chunks: [chunkOf(block)] };
    }
  }
  const { run } = slowRun(0) as unknown as { run: object };
  const shortSegments = async (): Promise<object[] | null> => {
    const records: object[] = [];
    for await (const record of segments()) records.push(record);
    return isShort ? records : null;
  };
  const parent = { findRelation: () => relation, segments, shortSegments };
  return { ...run, parent, canReuse: (chunk: { block: number }) => chunk.block !== lost } as unknown as Run;
}

async function takenOver(run: Run, segmentCount: number): Promise<boolean[]> {
  const sink = new RepositorySink(run, STORING, () => "take over");
  const plan = planOfSegments(segmentCount);
  const taken: boolean[] = [];
  for (const index of plan.segments.keys()) taken.push(await sink.takesOver(plan, index, new AbortController().signal));
  expect(sink.segments.takenOverCount).toBe(taken.filter(Boolean).length);
  return taken;
}

test("takesOver() takes the parent's segments over", async () => {
  for (const isShort of [true, false]) expect(await takenOver(parentOf(3, { isShort }), 3)).toEqual([true, true, true]);
});

test("takesOver() leaves a segment to be read of which a chunk cannot be reused", async () => {
  const lost = 1;
  for (const isShort of [true, false])
    expect(await takenOver(parentOf(3, { isShort, lost }), 3)).toEqual([true, false, true]);
});

test("takesOver() leaves the segment before a damage of the list to be read: more of it may be lost", async () => {
  const listEndsAt = 2;
  for (const isShort of [true, false]) {
    expect(await takenOver(parentOf(3, { isShort, listEndsAt }), 3)).toEqual([true, false, false]);
  }
});

test("takesOver() leaves a segment of another block range to be read", async () => {
  expect(await takenOver(parentOf(3), 4)).toEqual([true, true, false, false]);
});

test("takesOver() waits when thousands of segments stand behind one that is being read, until it is done or all ends", async () => {
  const segmentCount = 4200;
  const sink = new RepositorySink(parentOf(segmentCount), STORING, (_, index) => (index === 0 ? "read" : "take over"));
  const plan = planOfSegments(segmentCount);
  const ended = new AbortController();
  await sink.knownTableChunks(plan, 0);
  const takeAll = async (): Promise<void> => {
    for (let index = 1; index < segmentCount; index += 1) await sink.takesOver(plan, index, ended.signal);
  };
  const all = takeAll();
  await expect(Promise.race([all, delay(200, "waits")])).resolves.toBe("waits");
  expect(sink.segments.takenOverCount).toBe(4096);
  await sink.segmentDone(plan, 0, 0);
  await all;
  expect(sink.relations).toHaveLength(1);

  const other = new RepositorySink(parentOf(segmentCount), STORING, (_, index) => (index === 0 ? "read" : "take over"));
  await other.knownTableChunks(plan, 0);
  const aborted = async (): Promise<void> => {
    for (let index = 1; index < segmentCount; index += 1) await other.takesOver(plan, index, ended.signal);
  };
  setTimeout(() => ended.abort(new Error("it ended")), 200);
  await expect(aborted()).rejects.toThrow("it ended");
});

test.each([
  ["zstd-delta", 1],
  ["zstd", 0],
] as const)("tableChunk() counts a delta that was stored as %s %i times", async (encoding, count) => {
  const run = parentOf(1) as unknown as object;
  const storeChunk = async (chunk: object): Promise<object> => ({ ...chunk, encoding });
  const sink = new RepositorySink({ ...run, storeChunk } as unknown as Run, STORING);
  const plan = planOfSegments(1);
  await sink.knownTableChunks(plan, 0);
  const frame = Buffer.alloc(3);
  const facts = { rawLengthBytes: 11, rowCount: 1, continues: false, deltaOf: 0 };
  await sink.tableChunk(plan, 0, { id: Buffer.alloc(32, 9), frame, ...facts });
  expect(sink.deltas.chunkCount).toBe(count);
});
