// A storage that dies at call N of a small cluster backup: afterwards every restore point that is there verifies, a cluster
// restore point names only what is there, and the next cluster backup, expire and prunes succeed and leave nothing behind.
// For every N with the runs of a cluster backup as a repository sees them (its own around those of its databases); with
// the command's own work on a real server for some N, and for every N under CAIRN_TEST_MATRIX=full.

import { existsSync } from "node:fs";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { backUpServer } from "../../src/operations/backup-cluster/index.ts";
import { createRepository, openRepository, type Repository } from "../../src/repository/index.ts";
import { rows } from "../../src/repository/prune/prune.fixture.ts";
import {
  backUp,
  CHEAP_SCRYPT,
  DyingStorage,
  FACTS,
  NO_RULES,
  temporaryFolder,
} from "../../src/repository/repository.fixture.ts";
import { openLocalStorage } from "../../src/storage/index.ts";
import { isFullMatrix, TestRepository } from "../matrix/support.ts";
import { ownServer, type OwnServer } from "../support/servers.ts";
import { clusterSettings } from "./support.ts";

const passphrase = "correct horse battery staple";
const CALLS_MAX = 1000;
/** After so many prunes nothing is left to do. */
const PRUNES_MAX = 6;
const PRUNE = { graceMs: 0, unusedFractionMax: 0, isDryRun: false, isWaiting: false };
/** Of the calls of a real backup, unless all are taken. */
const SAMPLES = [0.4, 0.97];

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeAll(async () => {
  // In memory where there is a place for it: these are thousands of files, each made durable.
  folder = await temporaryFolder(existsSync("/dev/shm") ? "/dev/shm" : undefined);
});
afterAll(async () => await folder?.[Symbol.asyncDispose]());

/** Backs a whole server up. */
type ClusterBackup = (repository: Repository, state: number) => Promise<unknown>;

async function open(path: string): Promise<Repository> {
  return await openRepository(openLocalStorage(path), { passphrase });
}

/** A repository with one cluster backup. */
async function seed(name: string, work: ClusterBackup): Promise<string> {
  const path = join(folder.path, name);
  const options = {
    encryption: { kind: "passphrase", passphrase },
    scryptCost: CHEAP_SCRYPT,
    packSizeBytes: 16_384,
  } as const;
  const { repository } = await createRepository(openLocalStorage(path), options);
  await work(repository, 0);
  return path;
}

/** Every restore point is whole, and clusters name only what is there; how many clusters there are. */
async function expectWhole(path: string): Promise<number> {
  const repository = await open(path);
  const summaries = await repository.restorePoints();
  const ids = summaries.map(({ id }) => id);
  for (const id of ids) {
    const restorePoint = await repository.openRestorePoint(id);
    expect(await repository.verifyRestorePoint(restorePoint, { isMarked: false })).toMatchObject({ damage: [] });
  }
  const clusters = summaries.flatMap(({ cluster }) => cluster ?? []);
  for (const { members } of clusters) {
    for (const { restorePointId } of members) if (restorePointId !== null) expect(ids).toContain(restorePointId);
  }
  return clusters.length;
}

async function expectRecovery(path: string, work: ClusterBackup): Promise<"committed" | "not committed"> {
  // The records of this process look alive: it was not it that died.
  await rm(join(path, "runs"), { recursive: true, force: true });
  const count = await expectWhole(path);
  expect(count).toBeGreaterThanOrEqual(1);
  const repository = await open(path);
  await work(repository, 1);
  await repository.expire({ rules: { ...NO_RULES, last: 1 }, isDryRun: false });
  for (let round = 0, left = 1; left > 0; round += 1) {
    expect(round).toBeLessThan(PRUNES_MAX);
    left = (await repository.prune(PRUNE)).decisions.length;
  }
  expect(await expectWhole(path)).toBe(1);
  expect(await repository.leftovers()).toMatchObject({ runs: [], packs: [], unreadable: [] });
  return count === 1 ? "not committed" : "committed";
}

/** Lets the storage die at that call; true when it lived until the end. */
async function dieAt(path: string, call: number, work: ClusterBackup): Promise<boolean> {
  const storage = new DyingStorage(openLocalStorage(path), call);
  const done = openRepository(storage, { passphrase }).then(async (repository) => await work(repository, 1));
  return (await done.then(() => true, () => false)) && storage.calls <= call; // prettier-ignore
}

/** The runs of `cairn backup --cluster`: its own begins first and commits last. */
const backUpAsSeen: ClusterBackup = async (repository, state) => {
  const lineage = { ...FACTS.lineage, name: "prod", databaseOid: 0, databaseName: "*" };
  const parent = await repository.readParent(lineage);
  await using run = await repository.startRun({ kind: "cluster backup", lineageName: lineage.name, parent });
  const members = [];
  for (const databaseName of ["one", "two"]) {
    const facts = { lineage: { ...FACTS.lineage, name: databaseName, databaseName } };
    const tables = { t: [rows(databaseName), rows(`${databaseName} ${state}`)] };
    const { id, totals } = await backUp(repository, { tables, facts });
    const sums = {
      rowCount: totals.rows,
      rawBytes: totals.rawBytes,
      sealedBytes: totals.sealedBytes,
      newBytes: totals.newBytes,
    };
    members.push({ databaseName, lineageName: databaseName, restorePointId: id, error: null, ...sums });
  }
  const data = { relations: [], largeObjects: [], toc: new Uint8Array(), globals: { roles: [] } };
  return await run.commit({ ...FACTS, lineage, cluster: { members, leftOut: [] }, ...data });
};

test("the runs of a cluster backup, killed at any call, harm nothing", { timeout: 300_000 }, async () => {
  const origin = await seed("seen", backUpAsSeen);
  const outcomes = { committed: 0, "not committed": 0 };
  let deaths = 0;
  for (let isAlive = false; !isAlive; deaths += isAlive ? 0 : 1) {
    expect(deaths).toBeLessThan(CALLS_MAX);
    const path = join(folder.path, `seen ${deaths}`);
    await cp(origin, path, { recursive: true });
    isAlive = await dieAt(path, deaths, backUpAsSeen);
    outcomes[await expectRecovery(path, backUpAsSeen)] += 1;
    await rm(path, { recursive: true });
  }
  console.log(`cluster backup (its runs): killed at each of ${deaths} calls of the storage`);
  expect(deaths).toBeGreaterThanOrEqual(80);
  expect(outcomes["not committed"]).toBeGreaterThanOrEqual(70);
  // The manifest may have been written before the kill: then the cluster restore point is whole.
  expect(outcomes.committed).toBeGreaterThanOrEqual(3);
});

test(
  "cairn backup --cluster on a real server, killed at some calls, harms nothing",
  { timeout: 1_200_000 },
  async () => {
    await using pg: OwnServer = await ownServer(18);
    await using tools = await TestRepository.create({ isEncrypted: false });
    for (const name of ["one", "two"]) {
      await pg.createDatabase(name);
      await pg.psql(name, "CREATE TABLE t AS SELECT generate_series(1, 100) AS id");
    }
    const selection = { lineage: "prod", excludedDatabases: ["template1", "postgres"], jobs: 1 };
    const settings = clusterSettings(tools, pg.uri("postgres"), selection);
    const work: ClusterBackup = async (repository) => {
      const { isComplete } = await backUpServer(tools.context(), repository, settings);
      expect(isComplete).toBe(true);
    };
    const origin = await seed("real", work);
    const counting = new DyingStorage(openLocalStorage(join(folder.path, "counted")), Infinity);
    await cp(origin, join(folder.path, "counted"), { recursive: true });
    await work(await openRepository(counting, { passphrase }), 1);
    const all = Array.from({ length: counting.calls }, (_, call) => call);
    const calls = isFullMatrix ? all : SAMPLES.map((part) => Math.floor(counting.calls * part));
    for (const call of calls) {
      const path = join(folder.path, `real ${call}`);
      await cp(origin, path, { recursive: true });
      expect(await dieAt(path, call, work), `call ${call}`).toBe(false);
      await expectRecovery(path, work);
      await rm(path, { recursive: true });
    }
    console.log(`cluster backup of a real server: killed at ${calls.length} of ${all.length} calls of the storage`);
  },
);
