import fc from "fast-check";
import { expect, test } from "vitest";

import { biggestFirst, planTable, SEGMENT_BLOCK_COUNT, segmentBlockCountOf } from "./segment-plan.ts";

const blocks = (blockCount: number, toastBlockCount: number): { blockCount: number; toastBlockCount: number } => ({
  blockCount,
  toastBlockCount,
});

test("segmentBlockCountOf() leaves a table whole segments unless more is stored beside its heap than in it", () => {
  expect(segmentBlockCountOf(blocks(0, 0))).toBe(SEGMENT_BLOCK_COUNT);
  expect(segmentBlockCountOf(blocks(100_000, 0))).toBe(SEGMENT_BLOCK_COUNT);
  expect(segmentBlockCountOf(blocks(100, 100))).toBe(SEGMENT_BLOCK_COUNT);
  expect(segmentBlockCountOf(blocks(100, 101))).toBe(SEGMENT_BLOCK_COUNT / 2);
  expect(segmentBlockCountOf(blocks(106, 9188))).toBe(8);
  expect(segmentBlockCountOf(blocks(2, 1_000_000))).toBe(1);
});

test("segmentBlockCountOf() bounds what a segment stands for, and how many segments there are", () => {
  const counts = fc.record({
    blockCount: fc.integer({ min: 1, max: 2 ** 32 }),
    toastBlockCount: fc.integer({ min: 0, max: 2 ** 32 }),
  });
  fc.assert(
    fc.property(counts, fc.constantFrom(1, 8, SEGMENT_BLOCK_COUNT), (table, unit) => {
      const count = segmentBlockCountOf(table, unit);
      const blocksOfSegment = (count * (table.blockCount + table.toastBlockCount)) / table.blockCount;
      expect(Number.isInteger(count) && count >= 1 && count <= unit).toBe(true);
      if (count > 1) expect(blocksOfSegment).toBeLessThanOrEqual(2 * unit);
      if (count < unit) expect(blocksOfSegment).toBeGreaterThan(unit);
    }),
  );
});

test("segmentBlockCountOf() keeps a former cut until it is four times too large or too small", () => {
  const table = blocks(106, 9188);
  for (const former of [2, 8, 32]) expect(segmentBlockCountOf(table, SEGMENT_BLOCK_COUNT, former)).toBe(former);
  for (const former of [0, 1, 64, SEGMENT_BLOCK_COUNT, 1024]) {
    expect(segmentBlockCountOf(table, SEGMENT_BLOCK_COUNT, former)).toBe(8);
  }
  expect(segmentBlockCountOf(blocks(100, 0), SEGMENT_BLOCK_COUNT, 128)).toBe(128);
  expect(segmentBlockCountOf(blocks(100, 0), 256, SEGMENT_BLOCK_COUNT)).toBe(256);
});

test("planTable() cuts by what is stored beside the heap, and biggestFirst() counts it", () => {
  const relation = {
    oid: 1,
    namespace: "public",
    name: "t",
    kind: "r",
    persistence: "p",
    accessMethod: "heap",
    tablespaceOid: 0,
    filenode: 1,
  };
  const copyStatement = "COPY public.t (a) TO stdout;";
  const long = planTable({ dumpId: 1, relation: { ...relation, ...blocks(106, 9188) }, copyStatement }, 18);
  expect(long.segmentBlockCount).toBe(8);
  expect(long.segments.map(({ firstBlock }) => firstBlock)).toEqual(
    Array.from({ length: 14 }, (_, index) => index * 8),
  );
  expect(long.segments.at(-1)).toMatchObject({ firstBlock: 104, blockCount: null });
  const short = planTable({ dumpId: 2, relation: { ...relation, ...blocks(5000, 0) }, copyStatement }, 18);
  expect(short.segments).toHaveLength(10);
  expect(biggestFirst([short, long]).map(({ dumpId }) => dumpId)).toEqual([1, 2]);
});
