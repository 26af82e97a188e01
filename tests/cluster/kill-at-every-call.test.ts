// A storage that dies at call N of a small cluster backup: afterwards every restore point that is there verifies, a cluster
// restore point names only what is there, and the next cluster backup, expire and prunes succeed and leave nothing behind.
// For every N with the runs of a cluster backup as a repository sees them (its own around those of its databases); with
// the command's own work on a real server in each of its phases, and for every N under CAIRN_TEST_MATRIX=full.

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
/** The phases of a real backup of two databases, each by a call in it: how it begins, and which one of those it is. */
const PHASES = [
  ["at its first call", "list keys/", 1],
  ["in the first database's pack", "finish packs/", 1],
  ["before the first database's manifest", "put backups/", 1],
  ["after the first database's manifest", "after put backups/", 1],
  ["between the databases", "delete runs/", 1],
  ["before the second database's manifest", "put backups/", 2],
  ["when the roles are read, before its own manifest", "put backups/", 3],
  ["after its own manifest", "after put backups/", 3],
  ["at its last call", "delete runs/", 3],
] as const;
/** So many are killed one after another before one lives, so that few have to. */
const KILLS_IN_A_ROW = 6;

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

/** How many cluster restore points there are after a kill; all are whole. */
async function countWhole(path: string): Promise<number> {
  // The records of this process look alive: it was not it that died.
  await rm(join(path, "runs"), { recursive: true, force: true });
  const count = await expectWhole(path);
  expect(count).toBeGreaterThanOrEqual(1);
  return count;
}

async function expectRecovery(path: string, work: ClusterBackup): Promise<"committed" | "not committed"> {
  const count = await countWhole(path);
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
async function dieAt(
  path: string,
  failAt: ConstructorParameters<typeof DyingStorage>[1],
  work: ClusterBackup,
): Promise<boolean> {
  const storage = new DyingStorage(openLocalStorage(path), failAt);
  const done = openRepository(storage, { passphrase }).then(async (repository) => await work(repository, 1));
  const isDone = await done.then(() => true, () => false); // prettier-ignore
  return isDone && !storage.isDead;
}

/** True at the call of that number of those that begin so. */
function nthCall(beginning: string, number: number): (step: string) => boolean {
  let count = 0;
  return (step) => step.startsWith(beginning) && (count += 1) === number;
}

/** The runs of `cairn backup --cluster`: its own begins first and commits last. */
const backUpAsSeen: ClusterBackup = async (repository, state) => {
  const lineage = { ...FACTS.lineage, name: "prod", databaseOid: 0, databaseName: "*" };
  const { parent } = await repository.continueLineage(lineage);
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

/** A server with two small databases, and their cluster backup. */
async function withRealServer(test: (work: ClusterBackup) => Promise<void>): Promise<void> {
  await using pg: OwnServer = await ownServer(18);
  await using tools = await TestRepository.create({ isEncrypted: false });
  for (const name of ["one", "two"]) {
    await pg.createDatabase(name);
    await pg.psql(name, "CREATE TABLE t AS SELECT generate_series(1, 100) AS id");
  }
  const selection = { lineage: "prod", excludedDatabases: ["template1", "postgres"], jobs: 1 };
  const settings = clusterSettings(tools, pg.uri("postgres"), selection);
  await test(async (repository) => {
    const { isComplete } = await backUpServer(tools.context(), repository, settings);
    expect(isComplete).toBe(true);
  });
}

async function killInEachPhase(work: ClusterBackup): Promise<void> {
  const path = await seed("phases", work);
  for (const [index, [phase, beginning, number]] of PHASES.entries()) {
    expect({ phase, isAlive: await dieAt(path, nthCall(beginning, number), work) }).toEqual({ phase, isAlive: false });
    const isEnough = (index + 1) % KILLS_IN_A_ROW === 0 || index === PHASES.length - 1;
    await (isEnough ? expectRecovery(path, work) : countWhole(path));
  }
  console.log(`cluster backup of a real server: killed in each of ${PHASES.length} phases`);
}

async function killAtEachCall(work: ClusterBackup): Promise<void> {
  const origin = await seed("real", work);
  const outcomes = { committed: 0, "not committed": 0 };
  let deaths = 0;
  for (let isAlive = false; !isAlive; deaths += isAlive ? 0 : 1) {
    expect(deaths).toBeLessThan(CALLS_MAX);
    const path = join(folder.path, `real ${deaths}`);
    await cp(origin, path, { recursive: true });
    isAlive = await dieAt(path, deaths, work);
    outcomes[await expectRecovery(path, work)] += 1;
    await rm(path, { recursive: true });
  }
  console.log(`cluster backup of a real server: killed at each of ${deaths} calls of the storage`);
  expect(deaths).toBeGreaterThanOrEqual(100);
  expect(outcomes["not committed"]).toBeGreaterThanOrEqual(90);
  expect(outcomes.committed).toBeGreaterThanOrEqual(3);
}

test.each([
  ["in each phase", killInEachPhase] as const,
  ...(isFullMatrix ? [["at each call", killAtEachCall] as const] : []),
])(
  "cairn backup --cluster on a real server, killed %s, harms nothing",
  { timeout: 1_800_000 },
  async (_, kill) => await withRealServer(kill),
);
