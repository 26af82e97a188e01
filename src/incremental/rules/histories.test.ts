// The rules over random histories of a server in miniature: what is taken over is what a full read in the same snapshot gives.
// Base, order, seal, history and gaps are at stake here; the rest of the rules has its own tests, and real servers theirs.

import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { CheckpointRecord, IncrementalRecord, WalSummary } from "../types.ts";
import { carryCheckpoints, chooseBase, provenCheckpoints } from "./checkpoints.ts";
import { sealOf, summariesWithin } from "./coverage.ts";
import { judgeRelation } from "./judge-relation.ts";
import { judgeDigest, judgeRun } from "./judge-run.ts";
import { BLOCK_COUNT, ModelServer } from "./model-server.fixture.ts";
import { decodeIncremental, encodeIncremental } from "./record-codec.ts";
import { NOW, TABLE } from "./rules.fixture.ts";
import { touchedBlocks } from "./touched-blocks.ts";

type State = ReturnType<ModelServer["save"]>;

const slot = fc.nat(2);
const block = fc.nat(BLOCK_COUNT - 1);
const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("write" as const), slot, block }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("end" as const),
      slot,
      how: fc.constantFrom("commit" as const, "commit asynchronously" as const, "abort" as const),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("checkpoint" as const), during: fc.option(fc.record({ slot, block })) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("backup" as const),
      /** Which of the newest restore points is the parent. */
      parentAge: fc.nat(2),
      /** A transaction that writes and commits between the snapshot and the reading of its LSN. */
      between: fc.option(fc.record({ slot, block })),
      waits: fc.integer({ min: 0, max: 9 }).map((value) => value > 0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("crash" as const, "save" as const, "putBack" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("behind" as const), parentAge: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), index: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("skip" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface RestorePoint {
  readonly record: IncrementalRecord;
  readonly blocks: readonly string[];
}

/** Plays a history; a segment is one block. */
class History {
  readonly #server = new ModelServer();
  readonly #points: RestorePoint[] = [];
  #saved: State | null = null;
  /** The saved state is one that a lagging standby may be in: nothing but time lies between. */
  #isBehind = false;
  takenOver = 0;
  readonly wrong: string[] = [];

  play(one: Step): void {
    const server = this.#server;
    if (one.kind === "write") server.write(one.slot, one.block);
    else if (one.kind === "end") server.end(one.slot, one.how);
    else if (one.kind === "checkpoint") server.checkpoint(one.during);
    else if (one.kind === "remove") server.removeSummary(one.index);
    else if (one.kind === "skip") server.skipSummary();
    else if (one.kind === "backup") this.#backUp(one);
    else if (one.kind === "behind") this.#backUpBehind(one.parentAge);
    else if (one.kind === "save") [this.#saved, this.#isBehind] = [server.save(), true];
    else {
      this.#isBehind = false;
      if (one.kind === "crash") server.crash();
      else if (this.#saved !== null) server.putBack(this.#saved);
    }
  }

  #backUp({ parentAge, between, waits }: Step & { kind: "backup" }): void {
    const server = this.#server;
    const own = server.control;
    const snapshot = server.snapshot();
    if (between !== null) {
      server.write(between.slot, between.block);
      server.end(between.slot, "commit asynchronously");
    }
    const snapshotLsn = server.lsn;
    if (waits) server.checkpoint(null);
    const blocks = Array.from({ length: BLOCK_COUNT }, (_, index) => server.rows(index, snapshot));
    this.#compare({ own, snapshot, snapshotLsn, blocks }, parentAge);
  }

  /** A standby shows what was saved, and has the summaries of what it has received but not replayed. */
  #backUpBehind(parentAge: number): void {
    const state = this.#saved;
    if (state === null || !this.#isBehind) return;
    const snapshot = this.#server.snapshot(state);
    const blocks = Array.from({ length: BLOCK_COUNT }, (_, index) => this.#server.rows(index, snapshot, state));
    this.#compare({ own: state.control, snapshot, snapshotLsn: state.lsn, blocks }, parentAge);
  }

  #compare(
    run: {
      readonly own: CheckpointRecord;
      readonly snapshot: { readonly xmin: bigint; readonly xmax: bigint };
      readonly snapshotLsn: bigint;
      readonly blocks: readonly string[];
    },
    parentAge: number,
  ): void {
    const { blocks, own, snapshotLsn } = run;
    const { xmin, xmax } = run.snapshot;
    const position = { ...NOW.position, xmin, xmax, snapshotLsn };
    const { summaries } = this.#server;
    const parent = this.#points.at(-1 - parentAge) ?? null;
    if (parent !== null) {
      for (const index of this.#takenOver(parent.record, position)) {
        if (parent.blocks[index] !== blocks[index]) this.wrong.push(`block ${index} at ${snapshotLsn}`);
        this.takenOver += 1;
      }
    }
    const known = provenCheckpoints(this.#points.at(-1)?.record ?? null, position, summaries);
    const checkpoints = carryCheckpoints(known, own, position);
    const [baseLsn, sealLsn] = [chooseBase(checkpoints, position), sealOf(summaries, position)];
    const sealed =
      baseLsn === null || sealLsn === null
        ? null
        : summariesWithin(summaries, { timeline: 1, fromLsn: baseLsn, toLsn: sealLsn });
    const more = { largeObjects: null, runsSinceFullRead: 0, distrustedBecause: null };
    const summaryDigest = sealed && this.#digest(sealed);
    const made = { position, text: NOW.text, checkpoints, baseLsn, sealLsn, summaryDigest, ...more };
    const record = decodeIncremental(encodeIncremental(made));
    if (record === null) this.wrong.push(`the record at ${snapshotLsn} is not read back`);
    else this.#points.push({ record, blocks });
  }

  #takenOver(parent: IncrementalRecord, position: IncrementalRecord["position"]): readonly number[] {
    const server = this.#server;
    const verdict = judgeRun(parent, { position, text: NOW.text }, server.summaries);
    if (verdict.kind === "read-all" || judgeDigest(parent, this.#digest(verdict.sealedSummaries)) !== null) return [];
    const named = verdict.summaries.flatMap((one) => server.blocksOf(one));
    const file = { tablespaceOid: TABLE.tablespaceOid, filenode: TABLE.filenode, limitBlock: null };
    const touched = touchedBlocks([{ ...file, segmentIndexes: named }]);
    const shape = { ...TABLE, blockCount: BLOCK_COUNT };
    const judged = judgeRelation(shape, shape, touched, 1);
    if (judged.kind === "read-all") return [];
    return Array.from({ length: BLOCK_COUNT }, (_, index) => index).filter((index) => !judged.readSegments.has(index));
  }

  #digest(summaries: readonly WalSummary[]): string {
    const text = summaries.map((one) => `${one.startLsn}-${one.endLsn}:${this.#server.blocksOf(one).join()}`).join();
    return createHash("sha256").update(text).digest("hex");
  }
}

test("judgeRun() and judgeRelation() take over only what a full read gives, whatever the history", () => {
  let takenOver = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 90 }), (steps) => {
      const history = new History();
      for (const one of steps) history.play(one);
      expect(history.wrong).toEqual([]);
      takenOver += history.takenOver;
    }),
    { numRuns: 1000 },
  );
  expect(takenOver).toBeGreaterThan(2000);
});
