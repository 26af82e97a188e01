// Incremental backups of a hot standby: by its own WAL summaries, up to what it has replayed. What they hold is judged by
// restoring them and comparing with the primary's database.

import { afterAll, beforeAll, expect, test } from "vitest";

import type { BackupReceipt } from "../../src/operations/backup/index.ts";
import type { ReadingSettings } from "../../src/operations/backup/incremental/types.ts";
import type { OperationEvent } from "../../src/operations/operation.ts";
import type { OwnServer } from "../support/servers.ts";
import { IncrementalBench, reasonsOf, SEGMENT_COUNT } from "./support.ts";

const REPLAY_TIMEOUT_MS = 60_000;

const disposables = new AsyncDisposableStack();
let primary: OwnServer;
let standby: OwnServer;

beforeAll(async () => {
  primary = disposables.use(await IncrementalBench.startServer(18));
  standby = disposables.use(await IncrementalBench.startStandby(primary));
});
afterAll(() => disposables.disposeAsync());

/** Waits until the standby has replayed what the primary has written. */
async function caughtUp(): Promise<void> {
  const lsn = await primary.psql("postgres", "SELECT pg_current_wal_flush_lsn()");
  const replayed = `SELECT pg_last_wal_replay_lsn() >= '${lsn}'`;
  await expect.poll(() => standby.psql("postgres", replayed), { timeout: REPLAY_TIMEOUT_MS }).toBe("t");
}

interface Told {
  readonly receipt: BackupReceipt;
  /** What it said that it waits for. */
  readonly said: readonly string[];
}

/** A backup of the standby; whenever it waits, the primary makes a checkpoint. */
async function backUp(
  bench: IncrementalBench,
  checkpoint: ReadingSettings["checkpoint"],
  { isReread = false } = {},
): Promise<Told> {
  const said: string[] = [];
  const checkpoints: Promise<unknown>[] = [];
  const onEvent = (event: OperationEvent): void => {
    if (event.type !== "phase" || !["summaries", "seal"].includes(event.phase)) return;
    said.push(event.message);
    checkpoints.push(primary.psql("postgres", "CHECKPOINT"));
  };
  const settings = { source: standby.uri(bench.source.name), lineage: "standby", onEvent };
  const receipt = await bench.backup({ checkpoint, isReread }, settings);
  await Promise.all(checkpoints);
  return { receipt, said };
}

const PRIMARYS = /waiting for the primary's next checkpoint: at most/;

test("a standby's backups read what was touched, by the primary's checkpoints; --checkpoint now notes the last one", async () => {
  await using bench = await IncrementalBench.on(primary);
  await caughtUp();
  const first = await backUp(bench, "now");
  const isFirst = "it is the first restore point of its lineage";
  expect(first.receipt.reading).toMatchObject({ allReadBecause: isFirst, noParentBecause: null });
  expect(first.said).toEqual([expect.stringMatching(PRIMARYS)]);

  await caughtUp();
  const unchanged = await backUp(bench, null);
  expect(unchanged.said).toEqual([expect.stringMatching(PRIMARYS)]);
  expect(unchanged.receipt.reading).toMatchObject({ allReadBecause: null, readSegmentCount: 0, noParentBecause: null });
  expect(unchanged.receipt.reading.waited).toMatchObject({ isCheckpointMade: false });
  await bench.expectEqual(unchanged.receipt.id);

  await bench.source.psql("UPDATE item SET word = 'changed' WHERE ctid = '(700,1)'");
  await caughtUp();
  const third = await backUp(bench, "wait");
  expect(third.receipt.reading).toMatchObject({ readSegmentCount: 1, takenOverSegmentCount: SEGMENT_COUNT });
  expect(reasonsOf(third.receipt, "public.item")).toEqual({ "touched since the parent's base": 1 });
  await bench.expectEqual(third.receipt.id);
  expect(await bench.repository.verify(third.receipt.id)).toMatchObject({ isIntact: true });

  // Deleted, emptied and altered on the primary: replayed, and read here.
  await bench.source.psql(`DELETE FROM item WHERE id % 1000 = 7; ALTER TABLE kind ADD COLUMN more int DEFAULT 7;
    CREATE TABLE made AS SELECT i AS id FROM generate_series(1, 1000) i`);
  await caughtUp();
  const fourth = await backUp(bench, "now");
  expect(fourth.receipt.reading).toMatchObject({ allReadBecause: null, noParentBecause: null });
  await bench.expectEqual(fourth.receipt.id);
  await caughtUp();
  const { selfCheck } = (await backUp(bench, null, { isReread: true })).receipt.reading;
  expect(selfCheck).toMatchObject({ differenceCount: 0 });
  expect(selfCheck!.comparedSegmentCount).toBeGreaterThan(0);
});

test("a lineage goes over from the primary to its standby and back, and takes over what it may", async () => {
  await using bench = await IncrementalBench.on(primary);
  await bench.backup({}, { lineage: "standby" });
  await bench.source.psql("UPDATE item SET word = 'changed' WHERE ctid = '(700,1)'");
  await caughtUp();
  const { receipt } = await backUp(bench, "now");
  expect(receipt.reading).toMatchObject({ allReadBecause: null });
  expect(receipt.reading.takenOverSegmentCount).toBeGreaterThan(0);
  await bench.expectEqual(receipt.id);
  await bench.source.psql("UPDATE item SET word = 'again' WHERE ctid = '(1200,1)'");
  const back = await bench.backup({}, { lineage: "standby" });
  expect(back.reading.takenOverSegmentCount).toBeGreaterThan(0);
  await bench.expectEqual(back.id);
});

test("a role that may not see which timeline the standby follows is told so, and everything is read", async () => {
  await using bench = await IncrementalBench.on(primary);
  const role = `reader_${bench.source.name}`;
  await bench.source.psql(`CREATE ROLE ${role} LOGIN; GRANT pg_read_all_data TO ${role}`);
  await caughtUp();
  const source = standby.uri(bench.source.name, { user: role });
  const { reading } = await bench.backup({ checkpoint: "wait" }, { source, globals: "none" });
  await bench.source.psql(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  expect(reading.allReadBecause).toMatch(/^the standby's timeline is not known: .*pg_read_all_stats/);
  expect(reading.waited).toEqual({ beforeReadingMs: 0, afterReadingMs: 0, isCheckpointMade: false });
});
