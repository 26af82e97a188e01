// Base and carried checkpoint records: by hand for each rule, and as properties over random lists.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { CheckpointRecord } from "../types.ts";
import { carryCheckpoints, CHECKPOINT_COUNT_MAX, chooseBase, provenCheckpoints } from "./checkpoints.ts";
import { NOW, PARENT, SUMMARIES, summary } from "./rules.fixture.ts";

const POSITION = { timeline: 1, xmin: 750n, snapshotLsn: 1500n };

function checkpoint(redoLsn: number, nextXid: number, timeline = 1): CheckpointRecord {
  return { timeline, redoLsn: BigInt(redoLsn), nextXid: BigInt(nextXid) };
}

test("chooseBase() takes the highest redo LSN of the snapshot's past", () => {
  const records = [checkpoint(300, 700), checkpoint(1000, 750), checkpoint(500, 740)];
  expect(chooseBase(records, POSITION)).toBe(1000n);
  expect(chooseBase([], POSITION)).toBeNull();
});

test("chooseBase() passes over a checkpoint at which xids of running transactions were given out", () => {
  expect(chooseBase([checkpoint(500, 700), checkpoint(1000, 751)], POSITION)).toBe(500n);
  expect(chooseBase([checkpoint(1000, 751)], POSITION)).toBeNull();
});

test("chooseBase() passes over a checkpoint that begins after the snapshot's LSN, whatever its xid: xids are given out again", () => {
  expect(chooseBase([checkpoint(500, 700), checkpoint(1501, 720)], POSITION)).toBe(500n);
  expect(chooseBase([checkpoint(1500, 720)], POSITION)).toBe(1500n);
});

test("chooseBase() passes over other timelines", () => {
  expect(chooseBase([checkpoint(500, 700), checkpoint(1000, 720, 2)], POSITION)).toBe(500n);
});

test("carryCheckpoints() drops what is older than the base, of another timeline, or beyond the snapshot's LSN", () => {
  const parents = [checkpoint(300, 700), checkpoint(500, 740), checkpoint(900, 745, 2), checkpoint(1600, 745)];
  const own = checkpoint(1000, 760);
  expect(carryCheckpoints(parents, own, POSITION)).toEqual([checkpoint(500, 740), own]);
});

test("carryCheckpoints() keeps all of them while no base is known, each once, newest last", () => {
  const own = checkpoint(1000, 790);
  const parents = [checkpoint(700, 780), own, checkpoint(400, 760)];
  expect(carryCheckpoints(parents, own, POSITION)).toEqual([checkpoint(400, 760), checkpoint(700, 780), own]);
});

test("carryCheckpoints() keeps at most CHECKPOINT_COUNT_MAX: the oldest and the newest ones", () => {
  const parents = Array.from({ length: 2 * CHECKPOINT_COUNT_MAX }, (_, index) => checkpoint(100 + index, 800 + index));
  const own = checkpoint(1400, 5000);
  const carried = carryCheckpoints(parents, own, POSITION);
  expect(carried).toHaveLength(CHECKPOINT_COUNT_MAX);
  expect([carried[0], carried.at(-1)]).toEqual([parents[0], own]);
  expect(carried.slice(1, -1)).toEqual(parents.slice(2 - CHECKPOINT_COUNT_MAX));
});

test("provenCheckpoints() gives the parent's only where its seal is found again", () => {
  expect(provenCheckpoints(null, NOW.position, SUMMARIES)).toEqual([]);
  expect(provenCheckpoints(PARENT, NOW.position, SUMMARIES)).toBe(PARENT.checkpoints);
  expect(provenCheckpoints(PARENT, NOW.position, [summary(1000, 4000)])).toEqual([]);
  expect(provenCheckpoints(PARENT, { ...NOW.position, systemIdentifier: "8" }, SUMMARIES)).toEqual([]);
});

const record = fc.record({
  timeline: fc.constantFrom(1, 1, 1, 2),
  redoLsn: fc.bigInt(0n, 40n),
  nextXid: fc.bigInt(3n, 40n),
});
const snapshot = fc.record({
  timeline: fc.constantFrom(1, 1, 2),
  xmin: fc.bigInt(3n, 40n),
  snapshotLsn: fc.bigInt(0n, 40n),
});

test("carryCheckpoints() never changes the base, and what it drops is never missed by a later snapshot", () => {
  fc.assert(
    fc.property(
      fc.array(record),
      record,
      snapshot,
      fc.tuple(fc.nat(40), fc.nat(40)),
      (parents, own, position, [a, b]) => {
        const carried = carryCheckpoints(parents, own, position);
        const base = chooseBase([...parents, own], position);
        expect(chooseBase(carried, position)).toBe(base);
        // Later on: xmin and LSN have only grown. Nothing but what lay beyond the snapshot's LSN may be missed.
        const later = { ...position, xmin: position.xmin + BigInt(a), snapshotLsn: position.snapshotLsn + BigInt(b) };
        const seen = [...parents, own].filter(({ redoLsn }) => redoLsn <= position.snapshotLsn);
        expect(chooseBase(carried, later)).toBe(chooseBase(seen, later));
      },
    ),
  );
});
