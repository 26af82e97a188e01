// Coverage of WAL by summaries against a model that looks at each single LSN, and the seal.

import fc from "fast-check";
import { expect, test } from "vitest";
import { coverRange, sealOf, summariesWithin } from "./coverage.ts";
import { summary } from "./rules.fixture.ts";

const END = 24;

const files = fc.array(
  fc
    .record({ from: fc.nat(END), length: fc.nat(8), timeline: fc.constantFrom(1, 1, 1, 2) })
    .map(({ from, length, timeline }) => summary(from, from + length, timeline)),
  { maxLength: 12 },
);
const range = fc
  .tuple(fc.nat(END), fc.nat(END))
  .map(([one, other]) => ({ timeline: 1, fromLsn: BigInt(Math.min(one, other)), toLsn: BigInt(Math.max(one, other)) }));

test("coverRange() says covered when every single LSN is, names all files that have some of it, and the first gap else", () => {
  fc.assert(
    fc.property(files, range, (summaries, wanted) => {
      const ofTimeline = summaries.filter(({ timeline, startLsn, endLsn }) => timeline === 1 && startLsn < endLsn);
      const isCovered = (lsn: bigint): boolean =>
        ofTimeline.some(({ startLsn, endLsn }) => startLsn <= lsn && lsn < endLsn);
      const coverage = coverRange(summaries, wanted);
      let first: bigint | null = null;
      for (let lsn = wanted.fromLsn; lsn < wanted.toLsn && first === null; lsn += 1n) {
        if (!isCovered(lsn)) first = lsn;
      }
      if (coverage.kind === "gap") {
        expect(coverage.fromLsn).toBe(first);
        for (let lsn = coverage.fromLsn; lsn < coverage.toLsn; lsn += 1n) expect(isCovered(lsn)).toBe(false);
        return;
      }
      expect(first).toBeNull();
      const touching = ofTimeline.filter((one) => one.endLsn > wanted.fromLsn && one.startLsn < wanted.toLsn);
      const names = (list: typeof summaries): Set<string> =>
        new Set(list.map((one) => `${one.startLsn}-${one.endLsn}`));
      expect(names([...coverage.summaries])).toEqual(names(touching));
      expect(coverage.summaries).toHaveLength(names(touching).size);
      expect(coverage.summaries.every((one) => one.timeline === 1)).toBe(true);
    }),
    { numRuns: 1000 },
  );
});

test("summariesWithin() gives the files from exactly the start to exactly the end, or none", () => {
  const list = [summary(5, 10), summary(10, 20), summary(20, 30), summary(15, 30), summary(30, 40), summary(10, 30, 2)];
  const wanted = { timeline: 1, fromLsn: 10n, toLsn: 30n };
  expect(summariesWithin(list.toReversed(), wanted)).toEqual([list[1], list[3], list[2]]);
  expect(summariesWithin([summary(5, 20), summary(20, 30)], wanted)).toBeNull();
  expect(summariesWithin([summary(10, 20), summary(20, 31)], wanted)).toBeNull();
  expect(summariesWithin([summary(10, 19), summary(20, 30)], wanted)).toBeNull();
  expect(summariesWithin([], { timeline: 1, fromLsn: 10n, toLsn: 10n })).toBeNull();
});

test("sealOf() is the lowest end of a summary of this timeline that reaches the snapshot's LSN", () => {
  const list = [summary(40, 60), summary(10, 20), summary(20, 30), summary(30, 40), summary(20, 26, 2)];
  expect(sealOf(list, { timeline: 1, snapshotLsn: 25n })).toBe(30n);
  expect(sealOf(list, { timeline: 1, snapshotLsn: 30n })).toBe(30n);
  expect(sealOf(list, { timeline: 1, snapshotLsn: 61n })).toBeNull();
  expect(sealOf(list, { timeline: 3, snapshotLsn: 25n })).toBeNull();
});
