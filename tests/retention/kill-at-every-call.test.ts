// A storage that dies at call N, for every N of a small backup, expire, first prune (which lists) and second prune (which
// deletes and repacks): afterwards every restore point that is there verifies and holds its rows, and the next backup,
// expire and prunes succeed and leave nothing behind.

import { deepEqual } from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { actions, DAY_MS, PruneBench, rows } from "../../src/repository/prune/prune.fixture.ts";
import { DyingStorage, temporaryFolder } from "../../src/repository/repository.fixture.ts";
import type { Repository } from "../../src/repository/index.ts";
import { openLocalStorage } from "../../src/storage/index.ts";

const CALLS_MAX = 1000;
/** After so many prunes, a day apart, nothing is left to do. */
const PRUNES_MAX = 6;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
const seeds: Record<string, PruneBench> = {};

/** Three restore points: of the first one's packs the last needs a part, of the second one's some not at all. */
beforeAll(async () => {
  // In memory where there is a place for it: these are thousands of files, each made durable.
  folder = await temporaryFolder(existsSync("/dev/shm") ? "/dev/shm" : undefined);
  const full = await PruneBench.create(join(folder.path, "full"));
  const [first, second] = [
    ["a", "b", "c"],
    ["a", "y", "c"],
  ].map((seeds) => seeds.map((seed) => rows(seed)));
  await full.backUp({ orders: first!, items: [rows("i")] });
  await full.backUp({ orders: second!, items: [rows("i")], more: [rows("j", 20_000), rows("k", 20_000)] });
  await full.backUp({ orders: second!, items: [rows("i")] });
  seeds["full"] = full;
  seeds["expired"] = await copyOf(full, "expired");
  await seeds["expired"].keepLast(1);
  seeds["listed"] = await copyOf(seeds["expired"], "listed");
  deepEqual(actions(await seeds["listed"].prune()), ["listed", "listed", "listed-in-part"]);
  seeds["listed"].nowMs += DAY_MS;
  deepEqual(actions(await seeds["listed"].prune({ isDryRun: true })), ["deleted", "deleted", "repacked"]);
});
afterAll(async () => await folder[Symbol.asyncDispose]());

async function copyOf(bench: PruneBench, name: string): Promise<PruneBench> {
  await cp(bench.path, join(folder.path, name), { recursive: true });
  return bench.at(join(folder.path, name));
}

/** What stands there after the death is whole, the next commands succeed, and nothing is left in the end. */
async function expectRecovery(bench: PruneBench): Promise<void> {
  // The records of this process look alive: it was not it that died.
  await rm(join(bench.path, "runs"), { recursive: true, force: true });
  await bench.forgetMissing();
  await bench.expectWhole();
  await bench.backUp({ orders: ["a", "y", "z"].map((seed) => rows(seed)), items: [rows("i")] });
  await bench.keepLast(1);
  // What one prune repacks, a later one may find needed in part again, a day after it listed that.
  for (let round = 0, left = [""]; left.length > 0; round += 1) {
    expect(round, `rounds of prune; still ${left.join()}`).toBeLessThan(PRUNES_MAX);
    left = actions(await bench.prune());
    bench.nowMs += DAY_MS;
  }
  await bench.expectWhole();
  expect(actions(await bench.prune())).toEqual([]);
  expect([await bench.files("prune"), await bench.files("runs")]).toEqual([[], []]);
  const repository = await bench.open();
  expect(await repository.leftovers()).toMatchObject({ runs: [], packs: [], unreadable: [] });
  const [newest] = await repository.restorePoints();
  const { manifest } = await repository.openRestorePoint(newest!.id);
  const packs = (await bench.files("packs")).filter((name) => !name.endsWith(".moved"));
  expect(packs.length).toBe(manifest.packs.length);
}

type Work = (bench: PruneBench, repository: Repository) => Promise<unknown>;
const backUp: Work = async (bench, at) =>
  await bench.backUp({ orders: [rows("a"), rows("n")], items: [rows("i")] }, at);
const expire: Work = async (bench, at) => await bench.keepLast(1, at);
const prune: Work = async (bench, at) => await bench.prune({}, at);

async function isDone(work: Promise<unknown>): Promise<boolean> {
  return await work.then(() => true, () => false); // prettier-ignore
}

test.each<[what: string, from: string, work: Work, deathsMin: number]>([
  ["backup", "full", backUp, 20],
  ["expire", "full", expire, 12],
  ["prune that lists", "expired", prune, 20],
  ["prune that deletes and repacks", "listed", prune, 40],
])("a %s that is killed at any call harms nothing", { timeout: 300_000 }, async (what, from, work, deathsMin) => {
  let deaths = 0;
  for (let isAlive = false; !isAlive; deaths += isAlive ? 0 : 1) {
    expect(deaths).toBeLessThan(CALLS_MAX);
    const bench = await copyOf(seeds[from]!, `${from} ${what} ${deaths}`);
    const storage = new DyingStorage(openLocalStorage(bench.path), deaths);
    isAlive = (await isDone(bench.open(storage).then((at) => work(bench, at)))) && storage.calls <= deaths;
    await expectRecovery(bench);
    await rm(bench.path, { recursive: true });
  }
  console.log(`${what}: killed at each of ${deaths} calls of the storage`);
  expect(deaths).toBeGreaterThanOrEqual(deathsMin);
});
