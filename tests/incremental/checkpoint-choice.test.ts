// Which checkpoint a backup waits for when nothing is said of it, what it says meanwhile, and what --checkpoint none does.

import { afterAll, beforeAll, expect, test } from "vitest";

import type { BackupReceipt } from "../../src/operations/backup/index.ts";
import type { ReadingSettings } from "../../src/operations/backup/incremental/types.ts";
import { runClusterBackup } from "../../src/operations/backup-cluster/index.ts";
import type { OperationEvent } from "../../src/operations/operation.ts";
import type { OwnServer } from "../support/servers.ts";
import { clusterSettings } from "../cluster/support.ts";
import { IncrementalBench, SEGMENT_COUNT } from "./support.ts";

let pg: OwnServer;

beforeAll(async () => {
  pg = await IncrementalBench.startServer(18); // checkpoint_timeout = 1h
});
afterAll(async () => {
  await pg[Symbol.asyncDispose]();
});

async function setTimeoutOfCheckpoints(text: string): Promise<void> {
  await pg.psql("postgres", `ALTER SYSTEM SET checkpoint_timeout = '${text}'`);
  await pg.psql("postgres", "SELECT pg_reload_conf(); CHECKPOINT");
  await expect.poll(() => pg.psql("postgres", "SHOW checkpoint_timeout")).toBe(text);
}

interface Waited {
  readonly receipt: BackupReceipt;
  readonly said: string;
}

/** A backup that waits; the checkpoint comes when it has said so. */
async function backUpWaiting(bench: IncrementalBench, phase: string): Promise<Waited> {
  const said: string[] = [];
  const checkpoints: Promise<unknown>[] = [];
  const onEvent = (event: OperationEvent): void => {
    if (event.type === "notice") said.push(event.notice.hint ?? "");
    if (event.type !== "phase" || event.phase !== phase) return;
    said.push(event.message);
    checkpoints.push(pg.psql("postgres", "CHECKPOINT"));
  };
  const receipt = await bench.backup({ checkpoint: null }, { onEvent } as object);
  await Promise.all(checkpoints);
  expect(checkpoints).toHaveLength(1);
  return { receipt, said: said.join("; ") };
}

const WITHOUT = { beforeReadingMs: 0, afterReadingMs: 0, isCheckpointMade: false };
const waitsIn = (events: readonly OperationEvent[]): OperationEvent[] =>
  events.filter((event) => event.type === "phase" && ["summaries", "seal"].includes(event.phase));

test("a backup waits for the timed checkpoint that is due: the first for its seal, the next to read only what changed", async () => {
  await setTimeoutOfCheckpoints("5min");
  await using bench = await IncrementalBench.on(pg);
  const first = await backUpWaiting(bench, "seal");
  expect(first.said).toMatch(
    /^all is stored; waiting for the server's next checkpoint: at most \d min \d\d s; --checkpoint now asks for one; --checkpoint none does without\.$/,
  );
  expect(first.receipt.reading).toMatchObject({ takenOverSegmentCount: 0, noParentBecause: null });
  expect(first.receipt.reading.waited).toMatchObject({ beforeReadingMs: 0, isCheckpointMade: false });
  expect(first.receipt.reading.waited.afterReadingMs).toBeGreaterThan(0);

  await bench.source.psql("UPDATE item SET word = 'changed' WHERE ctid = '(700,1)'");
  const second = await backUpWaiting(bench, "summaries");
  expect(second.said).toMatch(
    /^waiting for the server's next checkpoint, due within \d min \d\d s: at most 6 min 00 s; --checkpoint now asks for one; --checkpoint none reads/,
  );
  const { reading } = second.receipt;
  expect(reading).toMatchObject({ readSegmentCount: 1, allReadBecause: null, noParentBecause: null });
  expect(reading.takenOverSegmentCount).toBe(SEGMENT_COUNT);
  expect(reading.waited).toMatchObject({ afterReadingMs: 0, isCheckpointMade: false });
  expect(reading.waited.beforeReadingMs).toBeGreaterThan(0);
  await bench.expectEqual(second.receipt.id);

  const before = bench.repository.events.length;
  const third = await bench.backup({ checkpoint: "none" });
  expect(third.reading.allReadBecause).toBe("with --checkpoint none no checkpoint is waited for");
  expect(third.reading.waited).toEqual(WITHOUT);
  expect(waitsIn(bench.repository.events.slice(before))).toEqual([]);
  await setTimeoutOfCheckpoints("1h");
});

test("nothing is waited for where no checkpoint is due in time, nor of a whole server for what is quickly read", async () => {
  await using bench = await IncrementalBench.on(pg);
  const first = await bench.backup({ checkpoint: null });
  expect(first.reading).toMatchObject({
    waited: WITHOUT,
    noParentBecause: "no WAL summary has reached its snapshot yet",
  });

  const clusterBackup = async (checkpoint: ReadingSettings["checkpoint"]): Promise<BackupReceipt> => {
    const { databases } = await runClusterBackup(
      bench.repository.context(),
      clusterSettings(bench.repository, pg.uri("postgres"), {
        lineage: "all",
        withRolePasswords: false,
        reading: { isFull: false, isReread: false, rereadEvery: 24, isExplained: false, checkpoint },
      }),
    );
    return databases.find(({ databaseName }) => databaseName === bench.source.name)!.receipt!;
  };
  await clusterBackup("now");
  await setTimeoutOfCheckpoints("5min");
  const before = bench.repository.events.length;
  const one = await clusterBackup(null);
  expect(one.reading.allReadBecause).toMatch(
    /^of a whole server, databases of less than 1\S* GiB wait for no checkpoint/,
  );
  expect(one.reading.waited).toEqual(WITHOUT);
  expect(waitsIn(bench.repository.events.slice(before))).toEqual([]);
});
