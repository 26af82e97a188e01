// `cairn dump` as a whole on a real server: one snapshot under concurrent writes, all readers at work on one table, a
// value of many chunks, and the memory that it takes.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

import type { OperationEvent } from "../../src/operations/operation.ts";
import { ownServer, runTool, server } from "../support/servers.ts";
import { dump, restoreText, testFolder } from "./run-dump.ts";
import { BIG_ROW_COUNT, BIG_TABLE, expectNoSessions, waitUntil } from "./trial-database.ts";

const MIB = 1024 * 1024;

test("cairn dump under concurrent writes is one snapshot", async () => {
  const pg = await server(18);
  await using folder = await testFolder();
  await using database = await pg.createDatabase();
  await using copy = await pg.createDatabase();
  await runTool(pg.tools.pgbench, ["-i", "-q", "-s", "3", database.uri]);
  const load = spawn(pg.tools.pgbench, ["-n", "-c", "4", "-T", "300", database.uri], { stdio: "ignore" });
  const loadEnded = new Promise((resolve) => load.on("close", resolve));
  try {
    await waitUntil(database, "count(*) > 100 FROM pgbench_history");
    const settings = { jobs: 4, compression: "zstd" };
    const receipt = await dump({ source: database.uri, file: folder.file("a"), settings });
    expect(Number(await database.psql("SELECT count(*) FROM pgbench_history"))).toBeGreaterThan(
      receipt.tables.find(({ name }) => name === "public.pgbench_history")!.rowCount,
    );
  } finally {
    load.kill();
    await loadEnded;
  }
  await runTool(pg.tools.pgRestore, ["-d", copy.uri, folder.file("a")]);
  const sums =
    await copy.psql(`SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches),
    (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(delta) FROM pgbench_history)`);
  expect(new Set(sums.split("|")).size).toBe(1);
  expect(await copy.psql("SELECT count(*), count(DISTINCT aid) FROM pgbench_accounts")).toBe("300000|300000");
  expect(Number(await copy.psql("SELECT count(*) FROM pgbench_history"))).toBeGreaterThan(100);
});

test("cairn dump of one table with four readers: each takes segments, and none idles while there are any", async () => {
  const pg = await server(18);
  await using folder = await testFolder();
  await using database = await pg.createDatabase();
  await database.psql(BIG_TABLE);
  const events: OperationEvent[] = [];
  const settings = { jobs: 4, compression: "zstd:15" }; // slow enough that every reader is there before the end
  const onEvent = (event: OperationEvent): void => void events.push(event);
  const receipt = await dump({ source: database.uri, file: folder.file("a"), settings, onEvent });
  expect(receipt.rowCount).toBe(BIG_ROW_COUNT);

  const segments = events.filter((event) => event.type === "segment-started" || event.type === "segment-done");
  const started = segments.filter(({ type }) => type === "segment-started");
  expect(started.length).toBeGreaterThan(12);
  expect(started.map(({ segmentIndex }) => segmentIndex)).toEqual(started.map((_, index) => index));
  expect(segments.length).toBe(2 * started.length);
  const underWay = new Map<number, number>();
  let idleCount = 0;
  for (const [index, { type, readerIndex }] of segments.entries()) {
    underWay.set(readerIndex, (underWay.get(readerIndex) ?? 0) + (type === "segment-started" ? 1 : -1));
    const areSomeLeft = segments.slice(index + 1).some((later) => later.type === "segment-started");
    if (areSomeLeft && underWay.get(readerIndex) === 0) idleCount += 1;
  }
  expect(idleCount).toBe(0);
  expect([...underWay.keys()].toSorted((one, other) => one - other)).toEqual([0, 1, 2, 3]);
});

/** Runs `cairn dump` as a user does; the peak of its memory together with that of the pg_dump that it starts. */
async function dumpInChild(source: string, file: string, pgDump: string): Promise<number> {
  const program = fileURLToPath(new URL("../../bin/cairn.mjs", import.meta.url));
  const words = ["dump", source, "--file", file, "--pg-dump", pgDump, "--jobs", "4", "--compress", "zstd", "--json"];
  const child = spawn(process.execPath, [program, ...words], { stdio: ["ignore", "ignore", "inherit"], env: {} });
  let peakBytes = 0;
  const watch = setInterval(() => {
    const pids = [child.pid!, ...childrenOf(child.pid!)];
    peakBytes = Math.max(
      peakBytes,
      pids.map(residentBytes).reduce((sum, bytes) => sum + bytes, 0),
    );
  }, 20);
  const status = await new Promise((resolve) => child.on("close", resolve));
  clearInterval(watch);
  expect(status).toBe(0);
  return peakBytes;
}

function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => new RegExp(`^PPid:\\s*${pid}$`, "m").test(statusOf(name)))
    .map(Number);
}

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(statusOf(String(pid)))?.[1] ?? 0) * 1024;
}

function statusOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "latin1");
  } catch {
    return ""; // ended meanwhile
  }
}

/** The limit that holds everywhere, with four readers and up to 10,000 tables. */
const PEAK_BYTES_MAX = 400 * MIB;

const isFullMatrix = process.env["CAIRN_TEST_MATRIX"] === "full";
/** Not more where other tests use the server too: 10,000 take nearly all of its lock table. */
const tableCount = isFullMatrix ? 10_000 : 1000;

test.each(isFullMatrix ? ["installed", "bundled"] : ["installed"])(
  `cairn dump of a value of 64 MiB and ${tableCount} tables stays within its memory, with the %s pg_dump`,
  async (which) => {
    await using own = isFullMatrix ? await ownServer(18) : null;
    const pg = own ?? (await server(18));
    await using folder = await testFolder();
    await using database = await pg.createDatabase();
    await database.psql(`CREATE TABLE large (id int, b bytea);
      ALTER TABLE large ALTER b SET STORAGE EXTERNAL;
      INSERT INTO large SELECT 1, string_agg(sha256(i::text::bytea), '' ORDER BY i) FROM generate_series(1, 2 << 20) i;
      INSERT INTO large VALUES (2, 'after');`);
    const tables = Array.from(
      { length: tableCount },
      (_, index) => `CREATE TABLE t${index} (id int PRIMARY KEY, v text);`,
    );
    for (let at = 0; at < tables.length; at += 1000) await database.psql(tables.slice(at, at + 1000).join(""));
    const program = which === "bundled" ? which : pg.tools.pgDump;
    const totalBytes = await dumpInChild(database.uri, folder.file("a"), program);
    console.log(`peak memory of cairn dump (${which}): ${Math.round(totalBytes / MIB)} MiB, pg_dump counted`);
    expect(totalBytes).toBeLessThan(PEAK_BYTES_MAX);

    const text = await restoreText(pg.tools.pgRestore, folder.file("a"));
    const start = text.indexOf("\n1\t\\\\x") + 6;
    const value = text.subarray(start, text.indexOf("\n", start));
    expect(value.length).toBe(128 * MIB);
    const hash = createHash("sha256")
      .update(Buffer.from(value.toString("latin1"), "hex"))
      .digest("hex");
    expect(hash).toBe(await database.psql("SELECT encode(sha256(b), 'hex') FROM large WHERE id = 1"));
    await expectNoSessions(database);
  },
);
