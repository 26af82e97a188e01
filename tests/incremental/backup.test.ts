// cairn backup reads only the segments that can have changed, and says why it reads the others.

import { execFileSync, spawn } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { runCopy } from "../../src/operations/copy/index.ts";
import type { BackupReceipt } from "../../src/operations/backup/index.ts";
import type { ExplainedRelation } from "../../src/operations/backup/incremental/types.ts";
import { openRepository } from "../../src/repository/index.ts";
import { openLocalStorage } from "../../src/storage/index.ts";
import { openSession, resolveConnection } from "../../src/postgres/index.ts";
import { server as sharedServer, type Major, type OwnServer, type TestDatabase } from "../support/servers.ts";
import { IncrementalBench, reasonsOf, SEGMENT_COUNT } from "./support.ts";

const servers = new Map<Major, OwnServer>();

beforeAll(async () => {
  for (const major of [17, 18] as const) servers.set(major, await IncrementalBench.startServer(major));
});

afterAll(async () => {
  for (const one of servers.values()) await one[Symbol.asyncDispose]();
});

test.each([17, 18] as const)("backup on %i reads what was touched, and nothing when nothing was", async (major) => {
  await using bench = await IncrementalBench.on(servers.get(major)!);
  const first = await bench.backup();
  const isFirst = "it is the first restore point of its lineage";
  expect(first.reading).toMatchObject({ takenOverSegmentCount: 0, allReadBecause: isFirst, noParentBecause: null });
  const segmentCount = first.reading.readSegmentCount;
  expect(segmentCount).toBe(SEGMENT_COUNT + 1);

  const unchanged = await bench.backup();
  const nothing = { readSegmentCount: 0, readRawBytes: 0, takenOverSegmentCount: segmentCount, allReadBecause: null };
  expect(unchanged.reading).toMatchObject(nothing);
  expect(unchanged).toMatchObject({ rowCount: first.rowCount, rawBytes: first.rawBytes });
  expect(bench.repository.events.filter(({ type }) => type === "segment-started").length).toBe(segmentCount);
  await bench.expectEqual(unchanged.id);

  await bench.source.psql("UPDATE item SET word = 'changed' WHERE ctid = '(700,1)'");
  const third = await bench.backup();
  expect(third.reading).toMatchObject({ readSegmentCount: 1, takenOverSegmentCount: segmentCount - 1 });
  expect(reasonsOf(third, "public.item")).toEqual({ "touched since the parent's base": 1 });
  await bench.expectEqual(third.id);
  expect(await bench.repository.verify(third.id)).toMatchObject({ isIntact: true });
});

test("backup cuts a table finer of which most is stored beside its heap, and keeps to that while it can", async () => {
  await using bench = await IncrementalBench.on(servers.get(18)!);
  const letters = (from: number, count: number): string =>
    `INSERT INTO letter SELECT i, repeat(md5(i::text), 500) FROM generate_series(${from}, ${from + count - 1}) i;`;
  await bench.source.psql(`CREATE TABLE letter (id int, body text);
    ALTER TABLE letter ALTER body SET STORAGE EXTERNAL;
    ${letters(0, 800)} VACUUM letter; CHECKPOINT;`);
  const relationOf = ({ reading }: BackupReceipt): ExplainedRelation =>
    reading.explanation!.relations.find(({ name }) => name === "public.letter")!;
  const first = await bench.backup();
  const { segmentCount } = relationOf(first);
  expect(segmentCount).toBeGreaterThan(2);

  await bench.source.psql(letters(800, 10));
  const appended = await bench.backup();
  const { takenOverCount, readBecause } = relationOf(appended);
  expect({ takenOverCount, readBecause }).toEqual({
    takenOverCount: segmentCount - 1,
    readBecause: { "touched since the parent's base": 1 },
  });
  expect(appended.reading.readRawBytes).toBeLessThan(first.rawBytes / 2);
  await bench.expectEqual(appended.id);

  // Twice as long a heap: another cut would be chosen, but this one is near enough.
  await bench.source.psql("INSERT INTO letter SELECT i, '' FROM generate_series(1000, 1900) i");
  const longer = relationOf(await bench.backup());
  expect(longer.takenOverCount).toBeGreaterThanOrEqual(segmentCount - 1);
  await bench.source.psql("INSERT INTO letter SELECT i, '' FROM generate_series(2000, 20000) i");
  const mostlyHeap = await bench.backup();
  expect(Object.keys(relationOf(mostlyHeap).readBecause)).toEqual([
    expect.stringMatching(/^in segments of \d+ blocks then, of \d+ now$/),
  ]);
  await bench.expectEqual(mostlyHeap.id);
});

const TABLES = `
  CREATE TABLE emptied (id int, word text) WITH (fillfactor = 10);
  INSERT INTO emptied SELECT i, md5(i::text) FROM generate_series(1, 8000) i;
  CREATE TABLE rewritten (LIKE emptied) WITH (fillfactor = 10);
  INSERT INTO rewritten SELECT * FROM emptied;
  CREATE TABLE widened (LIKE emptied) WITH (fillfactor = 10);
  INSERT INTO widened SELECT * FROM emptied;
  CREATE TABLE appended (LIKE emptied) WITH (fillfactor = 10);
  INSERT INTO appended SELECT * FROM emptied;
  VACUUM emptied, rewritten, widened, appended;
  CHECKPOINT;`;

const CHANGES = `
  TRUNCATE emptied; INSERT INTO emptied SELECT i, md5((i + 1)::text) FROM generate_series(1, 8000) i;
  DELETE FROM rewritten WHERE id % 3 = 0; VACUUM FULL rewritten;
  ALTER TABLE widened ADD COLUMN more int DEFAULT 7;
  INSERT INTO appended SELECT i, md5(i::text) FROM generate_series(8001, 8200) i;
  ALTER TYPE mood RENAME VALUE 'well' TO 'very well';
  CREATE TABLE made AS SELECT 1 AS id;`;

test("backup reads what was emptied, rewritten, given a column or another label, appended to, and made", async () => {
  await using bench = await IncrementalBench.on(servers.get(18)!);
  await bench.source.psql(TABLES);
  await bench.backup();
  await bench.source.psql(CHANGES);
  const { reading, id } = await bench.backup();
  const relations = new Map(reading.explanation!.relations.map((one) => [one.name, one]));
  for (const name of ["emptied", "rewritten", "widened", "kind", "made"]) {
    expect(relations.get(`public.${name}`), name).toMatchObject({ takenOverCount: 0 });
  }
  expect(relations.get("public.appended")).toMatchObject({ segmentCount: 2, takenOverCount: 1 });
  expect(relations.get("public.item")).toMatchObject({ segmentCount: SEGMENT_COUNT, takenOverCount: SEGMENT_COUNT });
  await bench.expectEqual(id);
});

test("backup reads everything with --full, and the next one nothing; --explain names who holds the base back", async () => {
  await using bench = await IncrementalBench.on(servers.get(18)!);
  await bench.backup();
  const full = await bench.backup({ isFull: true });
  expect(full.reading).toMatchObject({ takenOverSegmentCount: 0, allReadBecause: "--full asks for it" });
  const settings = await resolveConnection({
    source: bench.source.uri,
    environment: {},
    homeDirectory: "/nonexistent",
    userName: "x",
  });
  await using holder = await openSession(settings);
  await holder.query("BEGIN; SELECT pg_current_xact_id()");
  await bench.source.psql("CHECKPOINT");
  const next = await bench.backup();
  expect(next.reading).toMatchObject({ readSegmentCount: 0, allReadBecause: null });
  const pid = (await holder.query("SELECT pg_backend_pid()")).value;
  expect(next.reading.explanation!.heldBackBy).toContain(`pid ${pid}, role postgres`);
});

test("where no checkpoint is due in time, everything is read at once; the next backup is told", async () => {
  await using bench = await IncrementalBench.on(servers.get(18)!);
  await bench.backup();
  const { reading } = await bench.backup({ checkpoint: null });
  expect(reading.allReadBecause).toMatch(
    /^the next timed checkpoint is due in \d+ min \d+ s only; --checkpoint now asks for one$/,
  );
  expect(reading.waited).toEqual({ beforeReadingMs: 0, afterReadingMs: 0, isCheckpointMade: false });
  expect(reading.noParentBecause).toBe("no WAL summary has reached its snapshot yet");
  const next = await bench.backup();
  expect(next.reading.allReadBecause).toMatch(/the parent is not sealed/);
  expect((await bench.backup()).reading.readSegmentCount).toBe(0);
});

/** Much WAL, and nothing touched by it. */
const MUCH_WAL = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 200000))";

test("what changed before a backup's snapshot is not read again by the next one, where a checkpoint may be asked for", async () => {
  await using bench = await IncrementalBench.on(servers.get(18)!);
  await bench.backup();
  const change = "UPDATE item SET word = word || 'x' WHERE ctid = (SELECT max(ctid) FROM item WHERE ctid < '(600,1)')";
  await bench.source.psql(change);
  await bench.source.psql("SELECT count(*) FROM item"); // who reads first sets hint bits, which is a change to the WAL
  await bench.source.psql(MUCH_WAL);
  const changed = await bench.backup();
  expect(changed.reading.readSegmentCount).toBe(1);
  expect(changed.reading.explanation!.baseLsn).not.toBe(changed.reading.explanation!.parent!.baseLsn);
  const next = await bench.backup();
  expect(next.reading).toMatchObject({ readSegmentCount: 0, allReadBecause: null });
  await bench.expectEqual(next.id);

  // With little WAL since the last checkpoint no other one is asked for, and it is read twice.
  await bench.source.psql(change);
  expect((await bench.backup()).reading.readSegmentCount).toBe(1);
  const again = await bench.backup();
  expect(again.reading.readSegmentCount).toBe(1);
  await bench.expectEqual(again.id);
});

test("who may not ask for a checkpoint is told so, and everything is read", async () => {
  await using bench = await IncrementalBench.on(servers.get(18)!);
  await bench.backup();
  await bench.source.psql(MUCH_WAL);
  const role = `reader_${bench.source.name}`;
  await bench.source.psql(`CREATE ROLE ${role} LOGIN; GRANT pg_read_all_data TO ${role}`);
  const source = bench.server.uri(bench.source.name, { user: role });
  const { reading } = await bench.backup({}, { source, lineage: null, globals: "none" });
  await bench.source.psql(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  expect(reading.allReadBecause).toMatch(/the role may not ask for a checkpoint: it is not in pg_checkpoint/);
});

test("a restore point stays whole when its parent is expired and pruned", async () => {
  await using bench = await IncrementalBench.on(servers.get(18)!);
  const first = await bench.backup();
  await bench.source.psql("UPDATE item SET word = 'changed' WHERE id < 20");
  const second = await bench.backup();
  expect(second.reading.takenOverSegmentCount).toBeGreaterThan(0);
  const { location, givenPassphrase } = bench.repository.access;
  await using repository = await openRepository(openLocalStorage(location), { passphrase: givenPassphrase! });
  const nothing = { hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: null, keepTags: [], onlyTags: [] };
  const rules = { ...nothing, last: 1, minimum: 1, onlyLineages: null, timeZone: "UTC" };
  const decided = await repository.expire({ rules, isDryRun: false });
  expect(decided.filter(({ isKept }) => !isKept).map(({ id }) => id)).toEqual([first.id]);
  const pruning = { graceMs: 0, unusedFractionMax: 0, isDryRun: false, isWaiting: true };
  await repository.prune(pruning);
  const { decisions } = await repository.prune(pruning);
  expect(decisions.map(({ action }) => action)).toContain("repacked");
  await bench.expectEqual(second.id);
  const third = await bench.backup();
  expect(third.reading.takenOverSegmentCount).toBe(SEGMENT_COUNT);
  await bench.expectEqual(third.id);
});

test("a backup into a repository of copies takes over from the copy", async () => {
  await using bench = await IncrementalBench.on(servers.get(18)!);
  const first = await bench.backup();
  await using copies = await IncrementalBench.of(bench.source);
  await runCopy(bench.repository.context(), {
    from: bench.repository.access,
    to: copies.repository.access,
    references: [first.id],
    isAll: false,
    last: null,
    tags: [],
    isDryRun: false,
    allowsUnencrypted: false,
  });
  const { id, parentId, reading } = await copies.backup();
  expect(parentId).toBe(first.id);
  expect(reading).toMatchObject({ readSegmentCount: 0, allReadBecause: null });
  await copies.expectEqual(id);
});

test("what the parent has lost is read again", async () => {
  await using bench = await IncrementalBench.on(servers.get(18)!);
  const first = await bench.backup();
  const packs = join(bench.repository.access.location, "packs");
  const [pack] = await packFiles(packs);
  const bytes = await readFile(pack!);
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(pack!, bytes);
  expect(await bench.repository.verify(first.id)).toMatchObject({ isIntact: false });
  const second = await bench.backup();
  expect(second.reading).toMatchObject({ readSegmentCount: 1, notReusableSegmentCount: 1 });
  const reasons = second.reading.explanation!.relations.map(({ readBecause }) => Object.keys(readBecause)).flat();
  expect(reasons).toEqual(["what the parent has of it cannot be taken over"]);
  await bench.expectEqual(second.id);

  for (const file of await packFiles(packs)) await rm(file);
  const third = await bench.backup();
  expect(third.reading.takenOverSegmentCount).toBe(0);
  await bench.expectEqual(third.id);
});

async function packFiles(folder: string): Promise<string[]> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  return files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name));
}

test("a type that changes while its tables are taken over: they are read whole, with a warning, and no parent", async () => {
  await using bench = await IncrementalBench.on(servers.get(18)!);
  await bench.backup();
  const rename = ["-X", "-d", bench.source.uri, "-c", "ALTER TYPE mood RENAME VALUE 'ill' TO 'unwell'"];
  const { reading, warnings } = await bench.backup({}, {
    onEvent: (event: { type: string; phase?: string; message?: string }) => {
      const isReading = event.type === "phase" && event.message!.includes("cannot have changed");
      if (isReading) execFileSync(bench.server.tools.psql, rename, { env: {}, stdio: "ignore" });
    },
  } as object);
  expect(warnings).toEqual(["columns or types changed while these tables were read: public.kind"]);
  expect(reading).toMatchObject({ readSegmentCount: 1, takenOverSegmentCount: SEGMENT_COUNT });
  const next = await bench.backup();
  expect(Object.keys(reasonsOf(next, "public.kind"))).toHaveLength(1);
  expect(next.reading.readSegmentCount).toBe(1);
  await bench.expectEqual(next.id);
});

test("tables whose schema was altered meanwhile are no parent: its name may have been another one's", async () => {
  await using bench = await IncrementalBench.on(servers.get(18)!);
  await bench.backup();
  const grant = ["-X", "-d", bench.source.uri, "-c", "GRANT USAGE ON SCHEMA public TO public"];
  const { reading, warnings } = await bench.backup({}, {
    onEvent: (event: { type: string; phase?: string; message?: string }) => {
      const isReading = event.type === "phase" && event.message!.includes("cannot have changed");
      if (isReading) execFileSync(bench.server.tools.psql, grant, { env: {}, stdio: "ignore" });
    },
  } as object);
  expect(warnings).toEqual(['schemas were altered while their tables were read: "public"']);
  expect(reading.takenOverSegmentCount).toBe(SEGMENT_COUNT + 1);
  expect((await bench.backup()).reading.takenOverSegmentCount).toBe(0);
});

test("a table of which only some rows were selected is read, whatever its extension's condition became meanwhile", async () => {
  await using bench = await IncrementalBench.on(servers.get(18)!);
  const { source } = bench;
  const condition = (text: string): string =>
    `UPDATE pg_extension SET extconfig = ARRAY['config'::regclass::oid], extcondition = ARRAY['${text}'] WHERE extname = 'citext'`;
  await source.psql(`CREATE EXTENSION citext; CREATE TABLE config AS SELECT i AS a FROM generate_series(1, 3) i;
    ALTER EXTENSION citext ADD TABLE config; VACUUM config; ${condition("WHERE a > 1")}; CHECKPOINT`);
  const held = spawn(bench.server.tools.psql, ["-X", "-q", "-d", source.uri], {
    env: {},
    stdio: ["pipe", "ignore", "ignore"],
  });
  held.stdin.write("BEGIN; LOCK TABLE config;\n");
  await untilLock(source, "granted AND mode = 'AccessExclusiveLock' AND relation = 'config'::regclass");
  const running = bench.backup();
  await untilLock(source, "NOT granted AND mode = 'AccessShareLock'");
  await source.psql(condition(""));
  held.stdin.end("ROLLBACK;\n");
  expect((await running).rowCount).toBe(14_002);
  const next = await bench.backup();
  expect(Object.keys(reasonsOf(next, "public.config"))).toEqual([
    "when the parent was made: pg_dump's statement for it selects rows",
  ]);
  expect(next.rowCount).toBe(14_003);
});

async function untilLock(database: TestDatabase, condition: string): Promise<void> {
  while ((await database.psql(`SELECT EXISTS (SELECT FROM pg_locks WHERE ${condition})`)) !== "t") await delay(20);
}

test.each([15, 16] as const)("on %i the receipt says why everything was read, and nothing compared", async (major) => {
  const pg = await sharedServer(major);
  await using source = await pg.createDatabase();
  await source.psql("CREATE TABLE t AS SELECT 1 AS a");
  await using bench = await IncrementalBench.of(source);
  const { reading, warnings } = await bench.backup({ isReread: true });
  expect(warnings.join("\n")).toMatch(/--reread compared nothing/);
  const reason = `PostgreSQL ${major} has no WAL summaries (17 and later have)`;
  expect(reading).toMatchObject({ readSegmentCount: 1, allReadBecause: reason, noParentBecause: reason });
  expect(reading.waited).toEqual({ beforeReadingMs: 0, afterReadingMs: 0, isCheckpointMade: false });
});
