// Acceptance 6: `cairn backup` killed with SIGKILL at each named step and at random moments, on more than 200 MB of heap.
// Each time every earlier restore point verifies, what the dead run left is named by `cairn list`, and in the end the
// next backup succeeds and an earlier restore point is restored and compared. Prints which step each kill hit.
// CAIRN_TEST_SEED sets the seed of the random moments; CAIRN_TEST_MATRIX=full takes twenty of them instead of five.

import { randomInt } from "node:crypto";
import { cp } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { server } from "../support/servers.ts";
import type { TestDatabase, TestServer } from "../support/servers.ts";
import { STEPS } from "./kill-hook.ts";
import { expectEqual, FaultBench, sessionsIn, until } from "./support.ts";
import type { Outcome } from "./support.ts";

const isFull = process.env["CAIRN_TEST_MATRIX"] === "full";
const randomMoments = isFull ? 20 : 5;
const testTimeoutMs = 20 * 60_000;
const heapBytesMin = 200 * 1024 * 1024;
const hook = pathToFileURL(fileURLToPath(new URL("./kill-hook.ts", import.meta.url))).href;

const packSizeBytes = 4 * 1024 * 1024;

// Much heap that compresses well, so that hashing and sealing it 25 times does not take all day.
const fill = `
CREATE TABLE long (id int PRIMARY KEY, text text);
INSERT INTO long SELECT i, md5(i::text) || repeat('-', 140) FROM generate_series(1, 1100000) AS i;
CREATE TABLE short (id int PRIMARY KEY, at timestamptz DEFAULT '2026-01-01');
INSERT INTO short SELECT i FROM generate_series(1, 1000) AS i;
CREATE TABLE changed (id int PRIMARY KEY, text text);
INSERT INTO changed SELECT i, md5(i::text) FROM generate_series(1, 20000) AS i;
SELECT lo_from_bytea(0, decode(repeat('beef', 5000), 'hex'));
VACUUM ANALYZE;`;

let pg: TestServer;
let source: TestDatabase;
/** The source as it was at the first restore point. */
let before: TestDatabase;
/** A repository with that restore point; each test works on a copy. */
let origin: FaultBench;
let firstId = "";
let backupMs = 0;

beforeAll(async () => {
  pg = await server(18);
  source = await pg.createDatabase();
  await source.psql(fill);
  before = await pg.createDatabase();
  await pg.psql("postgres", `DROP DATABASE "${before.name}"`);
  await pg.psql("postgres", `CREATE DATABASE "${before.name}" TEMPLATE "${source.name}"`);
  origin = await FaultBench.create({ packSizeBytes });
  const startedMs = performance.now();
  firstId = (await origin.backup(source.uri, ["--lineage", "main", "--jobs", "2"])).id;
  backupMs = performance.now() - startedMs;
  await source.psql("INSERT INTO changed SELECT i, md5(i::text) FROM generate_series(20001, 30000) AS i");
});

afterAll(async () => {
  await origin?.[Symbol.asyncDispose]();
  await before?.[Symbol.asyncDispose]();
  await source?.[Symbol.asyncDispose]();
});

interface Found {
  readonly restorePoints: readonly string[];
  readonly text: string;
}

async function benchWithFirst(): Promise<FaultBench> {
  const bench = await FaultBench.create({ repository: "none" });
  await cp(origin.repository, bench.repository, { recursive: true });
  return bench;
}

/** Kills are in a lineage of their own where packs have to fill; else they go on from the first restore point. */
function lineageOf(step: string): string {
  return /pack/.test(step) ? "fresh" : "main";
}

/** After a kill: what is there, that all of it is named, and that every restore point is whole. */
async function inspect(bench: FaultBench, filesBefore: readonly string[]): Promise<Found> {
  const list = await bench.list();
  const restorePoints = list.restorePoints.map(({ id }) => id);
  for (const report of await Promise.all(restorePoints.map((id) => bench.verify(id)))) {
    expect(report).toMatchObject({ isIntact: true, damage: [] });
  }
  const fresh = (await bench.files()).filter((name) => !filesBefore.includes(name) && !name.startsWith("marks/"));
  const committed = fresh.some((name) => name.startsWith("backups/") && !name.includes(".cairn-tmp-"));
  const named = list.leftovers.join("\n");
  const leftBehind = fresh.filter((name) => {
    if (name.includes(".cairn-tmp-") || name.startsWith("runs/")) return true;
    return name.startsWith("packs/") && !committed;
  });
  for (const name of leftBehind) expect(named).toContain(name.startsWith("runs/") ? name.split("/")[1] : name);
  const kinds = Map.groupBy(
    fresh,
    (name) => `${name.split("/")[0]}${name.includes(".cairn-tmp-") ? " unfinished" : ""}`,
  );
  const counts = [...kinds].map(([kind, names]) => `${kind} ${names.length}`);
  return { restorePoints, text: counts.join(", ") || "nothing" };
}

function lastPhase(outcome: Outcome): string {
  const lines = outcome.errors.trim().split("\n");
  return (lines.findLast((line) => line.startsWith("cairn: ")) ?? "cairn: (nothing)")
    .slice("cairn: ".length)
    .slice(0, 40);
}

function report(lines: readonly (readonly [string, string, string])[]): void {
  const rows = lines.map(([step, phase, found]) => `  ${step.padEnd(22)} ${phase.padEnd(42)} ${found}`);
  process.stdout.write(`${rows.join("\n")}\n`);
}

/** The next backup succeeds and verifies, and nothing unfinished is left; records of dead runs of other lineages stay with their packs. */
async function expectGoodEnd(bench: FaultBench): Promise<string> {
  const next = await bench.backup(source.uri, ["--lineage", "main"]);
  expect(await bench.verify(next.id)).toMatchObject({ isIntact: true });
  const { leftovers } = await bench.list();
  const named = leftovers.join("\n");
  expect(named).not.toContain(".cairn-tmp-");
  for (const [, id] of named.matchAll(/^runs\/([^ ]+)/gm)) expect(named).toContain(`(run ${id})`);
  return next.id;
}

async function expectRestored(bench: FaultBench, id: string, original: TestDatabase): Promise<void> {
  await using target = await pg.createDatabase();
  await bench.succeeds(["restore", id, "--to", target.uri, "--jobs", "2"]);
  await expectEqual(original, { server: pg, name: target.name });
}

describe("backup killed with SIGKILL", { timeout: testTimeoutMs }, () => {
  test("has more than 200 MB of heap to read", async () => {
    const sizeBytes = await source.psql("SELECT pg_relation_size('long')");
    expect(Number(sizeBytes)).toBeGreaterThan(heapBytesMin);
  });

  test("at each named step leaves every earlier restore point whole", async () => {
    await using bench = await benchWithFirst();
    const lines: [string, string, string][] = [];
    let known = [firstId];
    for (const step of STEPS) {
      const filesBefore = await bench.files();
      const words = ["backup", source.uri, "--lineage", lineageOf(step), "--jobs", "2"];
      const environment = { KILL_AT: step, NODE_OPTIONS: `--import=${hook}` };
      const outcome = await bench.run(words, { environment });
      expect([step, outcome.signal, outcome.status, outcome.output]).toEqual([step, "SIGKILL", null, ""]);
      const found = await inspect(bench, filesBefore);
      lines.push([step, lastPhase(outcome), found.text]);
      expect(found.restorePoints.filter((id) => known.includes(id))).toEqual(known);
      // From the moment that its manifest has its name, the new restore point is one, and a whole one.
      const isCommitted = STEPS.indexOf(step) >= STEPS.indexOf("manifest named");
      expect([step, found.restorePoints.length - known.length]).toEqual([step, isCommitted ? 1 : 0]);
      known = [...found.restorePoints];
      await until("the killed backup's sessions are gone", async () => (await sessionsIn(pg, source.name)) === 0);
    }
    report(lines);
    expect(lines.map(([step]) => step)).toEqual([...STEPS]);
    await expectGoodEnd(bench);
    // The next one of the lineage that was killed among its packs takes them over.
    const fresh = await bench.backup(source.uri, ["--lineage", "fresh", "--jobs", "2"]);
    // Two, or three: at "second pack made" the first one may be durable already.
    expect(fresh.takenOver.runIds.length).toBeGreaterThanOrEqual(2);
    expect(fresh.takenOver.bytes).toBeGreaterThan(0);
    expect(fresh.newBytes).toBeLessThan(fresh.sealedBytes);
    expect((await bench.list()).leftovers.join("\n")).not.toContain("runs/");
    expect(await bench.verify(fresh.id)).toMatchObject({ isIntact: true });
    await expectRestored(bench, fresh.id, source);
    await expectRestored(bench, firstId, before);
  });

  test("at random moments leaves every earlier restore point whole", async () => {
    const seed = Number(process.env["CAIRN_TEST_SEED"] ?? randomInt(2 ** 31));
    process.stdout.write(`kills at ${randomMoments} random moments, CAIRN_TEST_SEED=${seed}\n`);
    const random = randomNumbers(seed);
    await using bench = await benchWithFirst();
    const words = (lineage: string): string[] => ["backup", source.uri, "--lineage", lineage, "--jobs", "2"];
    const lines: [string, string, string][] = [];
    let killCount = 0;
    for (let index = 0; killCount < randomMoments && index < 3 * randomMoments; index += 1) {
      const filesBefore = await bench.files();
      const startedMs = performance.now();
      const running = bench.start(words(`fresh-${index}`));
      const afterMs = random() * backupMs;
      await Promise.race([delay(afterMs), running.ended]);
      running.child.kill("SIGKILL");
      const outcome = await running.ended;
      // A machine that is less busy now may be done before: no kill, another moment is taken, of the shorter time.
      if (outcome.signal === "SIGKILL") killCount += 1;
      else backupMs = Math.min(backupMs, performance.now() - startedMs);
      const found = await inspect(bench, filesBefore);
      const what = outcome.signal === "SIGKILL" ? `after ${Math.round(afterMs)} ms` : "was done before";
      lines.push([what, lastPhase(outcome), found.text]);
      expect(found.restorePoints).toContain(firstId);
    }
    report(lines);
    expect(killCount).toBe(randomMoments);
    await expectRestored(bench, await expectGoodEnd(bench), source);
  });
});

/** Numbers from 0 to 1 (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
