// Backups of two lineages, expires, prunes without grace, and readers at work side by side on one repository, on a storage
// that takes a random while for each call: whatever was committed and not expired is whole at the end.

import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { isOperatingError } from "../../src/base/errors.ts";
import { PruneBench, rows } from "../../src/repository/prune/prune.fixture.ts";
import { backUp, changed, FACTS, readTables, temporaryFolder } from "../../src/repository/repository.fixture.ts";
import type { TableTexts } from "../../src/repository/repository.fixture.ts";
import { openLocalStorage } from "../../src/storage/index.ts";
import type { Storage } from "../../src/storage/index.ts";

const SEED = Number(process.env["CAIRN_TEST_SEED"] ?? Date.now() % 1_000_000);
const BACKUPS = 14;
const DELAY_MS_MAX = 4;

/** mulberry32: the same numbers for the same seed. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A storage whose calls take a random while, before and after they are done. */
function slow(storage: Storage, random: () => number): Storage {
  const pause = async (): Promise<void> => await delay(random() * DELAY_MS_MAX);
  const slowed = <P extends unknown[], R>(call: (...parameters: P) => Promise<R>) => {
    return async (...parameters: P): Promise<R> => {
      await pause();
      const result = await call(...parameters);
      await pause();
      return result;
    };
  };
  return changed(storage, {
    put: slowed(storage.put.bind(storage)),
    read: slowed(storage.read.bind(storage)),
    head: slowed(storage.head.bind(storage)),
    delete: slowed(storage.delete.bind(storage)),
    openWriter: slowed(storage.openWriter.bind(storage)),
  });
}

test("what is committed beside expires and prunes is whole", { timeout: 120_000 }, async () => {
  console.log(`seed ${SEED} (CAIRN_TEST_SEED)`);
  const random = randomNumbers(SEED);
  await using folder = await temporaryFolder(existsSync("/dev/shm") ? "/dev/shm" : undefined);
  const bench = await PruneBench.create(`${folder.path}/r`);
  const open = async () => await bench.open(slow(openLocalStorage(bench.path), random));
  const committed = new Map<string, TableTexts>();
  const counts = { backups: 0, overtaken: 0, prunes: 0, deleted: 0, repacked: 0, refused: 0, read: 0 };
  let working = 2;

  const variant = (): string => String(Math.floor(random() * 3));
  const backUps = async (name: string): Promise<void> => {
    for (let round = 0; round < BACKUPS; round += 1) {
      const tables = { orders: ["a", "b", "c", "d"].map((segment) => rows(`${name}${segment}${variant()}`)) };
      bench.nowMs += 60_000;
      const lineage = { ...FACTS.lineage, name } as unknown as typeof FACTS.lineage;
      const facts = { lineage, snapshotAt: new Date(bench.nowMs).toISOString() };
      try {
        committed.set((await backUp(await open(), { tables, facts })).id, tables);
        counts.backups += 1;
      } catch (error) {
        if (!isOperatingError(error, "corrupt") || !error.retryable) throw error;
        counts.overtaken += 1;
      }
    }
    working -= 1;
  };
  const expires = async (): Promise<void> => {
    for (; working > 0; await delay(random() * 30)) await bench.keepLast(1 + Math.floor(random() * 3), await open());
  };
  const prunes = async (): Promise<void> => {
    for (; working > 0; await delay(random() * 20)) {
      try {
        const { decisions } = await bench.prune({ graceMs: 0, isWaiting: false }, await open());
        counts.prunes += 1;
        counts.deleted += decisions.filter(({ action }) => action === "deleted").length;
        counts.repacked += decisions.filter(({ action }) => action === "repacked").length;
        expect(decisions.filter(({ failure }) => failure !== null)).toEqual([]);
      } catch (error) {
        if (!isOperatingError(error, "locked")) throw error;
        counts.refused += 1;
      }
    }
  };
  const readers = async (): Promise<void> => {
    for (; working > 0; await delay(random() * 10)) {
      const repository = await open();
      const [newest] = await repository.restorePoints({ onDamage: () => undefined });
      try {
        if (newest === undefined) continue;
        const tables = await readTables(await repository.openRestorePoint(newest.id));
        if (committed.has(newest.id)) expect(tables).toEqual(committed.get(newest.id));
        counts.read += 1;
      } catch (error) {
        // Without a grace, one that was expired, or withdrawn by its own backup, may go away under a reader.
        const ids = (await repository.restorePoints({ onDamage: () => undefined })).map(({ id }) => id);
        if (ids.includes(newest!.id)) throw error;
      }
    }
  };

  await Promise.all([backUps("x"), backUps("y"), expires(), prunes(), prunes(), readers()]);
  const repository = await bench.open();
  const left = await repository.restorePoints();
  expect(left.length).toBeGreaterThanOrEqual(2);
  for (const { id } of left) {
    const restorePoint = await repository.openRestorePoint(id);
    expect((await repository.verifyRestorePoint(restorePoint, { isMarked: false })).damage).toEqual([]);
    expect(await readTables(restorePoint)).toEqual(committed.get(id));
  }
  expect((await repository.check({ readFraction: 1 })).findings).toEqual([]);
  console.log(Object.entries(counts).map(([name, count]) => `${count} ${name}`).join(", ")); // prettier-ignore
  expect(counts.backups).toBeGreaterThan(BACKUPS / 2);
  expect(counts.deleted).toBeGreaterThan(0);
});
