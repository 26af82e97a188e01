// Which segments of a relation are read: one test for each rule, from a relation where nothing speaks against taking over.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RelationShape, RelationVerdict, TouchedFile } from "../types.ts";
import { CUT_OFF, FORMER_LAST, GROWN, judgeRelation, segmentCountOf, TOUCHED } from "./judge-relation.ts";
import { SEGMENT, TABLE } from "./rules.fixture.ts";
import { touchedBlocks } from "./touched-blocks.ts";

function touch(change: Partial<TouchedFile>): TouchedFile {
  const { tablespaceOid, filenode } = TABLE;
  return { tablespaceOid, filenode, limitBlock: null, segmentIndexes: [], ...change };
}

interface Case {
  readonly past?: Partial<RelationShape>;
  readonly now?: Partial<RelationShape>;
  readonly touched?: readonly TouchedFile[];
}

function judged({ past, now, touched = [] }: Case): RelationVerdict {
  return judgeRelation({ ...TABLE, ...past }, { ...TABLE, ...now }, touchedBlocks(touched), SEGMENT);
}

/** Read segments and reasons; the reason alone when all are. */
function read(change: Case): string | Record<number, string> {
  const verdict = judged(change);
  return verdict.kind === "read-all" ? verdict.reason : Object.fromEntries(verdict.readSegments);
}

test("judgeRelation() takes over all of a relation that nothing touched", () => {
  expect(read({})).toEqual({});
  expect(read({ past: { blockCount: 0 }, now: { blockCount: 0 } })).toEqual({});
  const others = [
    touch({ filenode: 7, segmentIndexes: [1], limitBlock: 0 }),
    touch({ tablespaceOid: 7, segmentIndexes: [1] }),
  ];
  expect(read({ touched: [...others, touch({ tablespaceOid: 7, filenode: 0, limitBlock: 0 })] })).toEqual({});
});

describe("judgeRelation() reads all of it when the storage is another one:", () => {
  test.each<[string, Case, string]>([
    ["oid", { now: { oid: 7 } }, "another relation: OID 16400 then, 7 now"],
    ["filenode", { now: { filenode: 7 } }, "it was rewritten (another file)"],
    ["tablespace", { now: { tablespaceOid: 7 } }, "it is in another tablespace"],
    ["access method", { now: { accessMethod: "columnar" } }, "it is not a heap table"],
    ["access method then", { past: { accessMethod: "columnar" } }, "it is not a heap table"],
    ["none", { past: { accessMethod: null }, now: { accessMethod: null } }, "it is not a heap table"],
    ["unlogged then", { past: { persistence: "u" } }, "changes of it were not in the WAL when the parent was made"],
    ["unlogged now", { now: { persistence: "u" } }, "changes of it are not in the WAL"],
    ["unlogged at both", { past: { persistence: "u" }, now: { persistence: "u" } }, "changes of it are not in the WAL"],
  ])("%s", (_, change, reason) => {
    expect(read(change)).toBe(reason);
  });
});

describe("judgeRelation() reads all of it when the same bytes may give another text:", () => {
  const other = "ff".repeat(32);
  test.each<[string, Case, string]>([
    ["columns", { now: { columnFingerprint: other } }, "its columns changed"],
    ["types", { now: { typeFingerprint: other } }, "a type of its columns changed"],
    ["unstable then", { past: { isStable: false } }, "it changed its definition while the parent read it"],
    ["unstable now", { now: { isStable: false } }, "it changes its definition while it is read"],
    ["always", { now: { alwaysReadBecause: "it has a column of type regclass" } }, "it has a column of type regclass"],
    ["always, then", { past: { alwaysReadBecause: "a foreign type" } }, "when the parent was made: a foreign type"],
  ])("%s", (_, change, reason) => {
    expect(read(change)).toBe(reason);
  });
});

test("judgeRelation() reads all of it after the database was moved: limit rows with filenode 0", () => {
  expect(read({ touched: [touch({ filenode: 0, limitBlock: 0 })] })).toBe(
    "the database was made, or moved between tablespaces",
  );
});

test("judgeRelation() reads what is touched, and only that", () => {
  expect(read({ touched: [touch({ segmentIndexes: [0, 2] })] })).toEqual({ 0: TOUCHED, 2: TOUCHED });
  const several = [touch({ segmentIndexes: [0] }), touch({ segmentIndexes: [2], limitBlock: 1600 })];
  expect(read({ touched: several })).toEqual({ 0: TOUCHED, 2: TOUCHED, 3: CUT_OFF });
});

test("judgeRelation() reads the limit block's segment and everything after it", () => {
  expect(read({ touched: [touch({ limitBlock: 600 })] })).toEqual({ 1: CUT_OFF, 2: CUT_OFF, 3: CUT_OFF });
  expect(read({ touched: [touch({ limitBlock: 1024 })] })).toEqual({ 2: CUT_OFF, 3: CUT_OFF });
  expect(read({ touched: [touch({ limitBlock: 1023 })] })).toEqual({ 1: CUT_OFF, 2: CUT_OFF, 3: CUT_OFF });
  expect(read({ touched: [touch({ limitBlock: 0 })] })).toBe("its file was made or emptied since the parent's base");
});

test("judgeRelation() counts what is named behind the last segment as of it: it has no end", () => {
  expect(read({ touched: [touch({ segmentIndexes: [9] })] })).toEqual({ 3: TOUCHED });
  expect(read({ touched: [touch({ limitBlock: 9999 })] })).toEqual({ 3: CUT_OFF });
});

test("judgeRelation() reads growth and the parent's former last segment", () => {
  expect(read({ now: { blockCount: 2001 } })).toEqual({ 3: FORMER_LAST });
  expect(read({ now: { blockCount: 2560 } })).toEqual({ 3: FORMER_LAST, 4: GROWN });
  expect(read({ past: { blockCount: 2048 }, now: { blockCount: 2049 } })).toEqual({ 3: FORMER_LAST, 4: GROWN });
  expect(read({ past: { blockCount: 0 }, now: { blockCount: 1 } })).toEqual({ 0: FORMER_LAST });
  expect(read({ now: { blockCount: 1024 } })).toEqual({ 1: FORMER_LAST });
  expect(read({ now: { blockCount: 0 } })).toEqual({ 0: FORMER_LAST });
});

test("segmentCountOf() counts segments; an empty relation has one", () => {
  expect([0, 1, 512, 513, 1024].map((blocks) => segmentCountOf(blocks, 512))).toEqual([1, 1, 1, 2, 2]);
});

const SMALL = 4;
const entry = fc.record({
  tablespaceOid: fc.constantFrom(TABLE.tablespaceOid, TABLE.tablespaceOid, 7),
  filenode: fc.constantFrom(TABLE.filenode, TABLE.filenode, TABLE.filenode, 7, 0),
  limitBlock: fc.option(fc.nat(50), { freq: 2 }),
  segmentIndexes: fc.uniqueArray(fc.nat(12)).map((list) => list.toSorted((one, other) => one - other)),
});

test("judgeRelation() never takes over a segment that a touched block, a limit block or the length names, nor reads another", () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 4 }), fc.nat(40), fc.nat(40), (touched, then, now) => {
      const shapes = [then, now].map((blockCount) => ({ ...TABLE, blockCount })) as [RelationShape, RelationShape];
      const verdict = judgeRelation(...shapes, touchedBlocks(touched), SMALL);
      const here = touched.filter((one) => one.tablespaceOid === TABLE.tablespaceOid);
      const own = here.filter(({ filenode }) => filenode === TABLE.filenode);
      const isAll = here.some(({ filenode }) => filenode === 0) || own.some(({ limitBlock }) => limitBlock === 0);
      expect(verdict.kind === "read-all").toBe(isAll);
      if (verdict.kind === "read-all") return;
      const rangeOf = (index: number, blockCount: number): [number, number] | null => {
        const count = segmentCountOf(blockCount, SMALL);
        if (index >= count) return null;
        return [index * SMALL, index === count - 1 ? Infinity : (index + 1) * SMALL];
      };
      for (let index = 0; index < segmentCountOf(now, SMALL); index += 1) {
        const [first, end] = rangeOf(index, now)!;
        const isNamed = own.some(({ limitBlock, segmentIndexes }) => {
          const isTouched = segmentIndexes.some((one) => one * SMALL >= first && one * SMALL < end);
          return isTouched || (limitBlock !== null && limitBlock < end);
        });
        const isSameRange = String(rangeOf(index, then)) === String([first, end]) && (end !== Infinity || then === now);
        expect(verdict.readSegments.has(index)).toBe(isNamed || !isSameRange);
      }
      for (const index of verdict.readSegments.keys()) expect(index).toBeLessThan(segmentCountOf(now, SMALL));
    }),
    { numRuns: 1000 },
  );
});

test("judgeRelation() makes nothing per segment: of 200,000 it names the touched ones, going once over what is touched", () => {
  let steps = 0;
  const counted: readonly number[] = new Proxy([3, 99_999, 199_999], {
    get(target, name) {
      if (typeof name === "string" && /^[0-9]+$/.test(name)) steps += 1;
      return Reflect.get(target, name) as unknown;
    },
  });
  const blockCount = 200_000 * SEGMENT;
  const verdict = judged({ past: { blockCount }, now: { blockCount }, touched: [touch({ segmentIndexes: counted })] });
  expect(verdict).toEqual({
    kind: "take-over",
    readSegments: new Map([3, 99_999, 199_999].map((index) => [index, TOUCHED])),
  });
  expect(steps).toBe(3);
});
