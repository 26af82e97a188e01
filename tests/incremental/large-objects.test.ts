// cairn backup takes large objects over where pg_largeobject cannot have changed, and reads them else. What a restore point
// holds is judged by the server: restored, each object is compared by owner, rights, length and contents.

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import type { BackupReceipt } from "../../src/operations/backup/index.ts";
import type { LargeObjectReading } from "../../src/operations/backup/incremental/types.ts";
import { stockRestore } from "../matrix/support.ts";
import { compareDatabases, formatDifferences } from "../support/compare.ts";
import type { Major, OwnServer, TestDatabase } from "../support/servers.ts";
import { IncrementalBench } from "./support.ts";

const MAJORS: readonly Major[] = process.env["CAIRN_TEST_MATRIX"] === "full" ? [17, 18] : [18];
const servers = new Map<Major, OwnServer>();

beforeAll(async () => {
  if (MAJORS.includes(17)) servers.set(17, await IncrementalBench.startServer(17));
  servers.set(18, await IncrementalBench.startServer(18, ["--no-data-checksums"]));
});

afterAll(async () => {
  for (const one of servers.values()) await one[Symbol.asyncDispose]();
});

/** Small ones of two owners, so that pg_dump makes several entries; an empty one; one of several chunks. */
const OBJECTS = `
  CREATE TABLE item AS SELECT i, 'word' AS word FROM generate_series(1, 500) i;
  SELECT count(lo_from_bytea(40000 + i, convert_to(repeat(md5(i::text), i % 50), 'UTF8'))) FROM generate_series(1, 1200) i;
  SELECT lo_create(50000);
  SELECT lo_from_bytea(60000, decode(string_agg(md5(i::text), ''), 'hex')) FROM generate_series(1, 300000) i;
  SELECT lo_from_bytea(40000 + i, 'of another') FROM generate_series(2000, 2003) i;
  ALTER LARGE OBJECT 42001 OWNER TO pg_monitor; ALTER LARGE OBJECT 42002 OWNER TO pg_monitor;
  VACUUM item, pg_largeobject; CHECKPOINT;`;
const OBJECT_COUNT = 1206;

const TOUCHED = "pg_largeobject: touched since the parent's base";
const OTHERS = "the parent has other ones, or what it has cannot be taken over";
const ALL_TAKEN_OVER = { takenOverCount: OBJECT_COUNT, readBecause: {} };

/** A database with these objects, and a repository. */
async function benchWithObjects(major: Major): Promise<IncrementalBench> {
  const source = await servers.get(major)!.createDatabase();
  await source.psql(OBJECTS);
  return await IncrementalBench.of(source);
}

function objectsOf({ reading }: BackupReceipt): LargeObjectReading {
  expect(reading.largeObjects).not.toBeNull();
  return reading.largeObjects!;
}

/** Why objects were read. */
const reasonsOf = (receipt: BackupReceipt): string[] => Object.keys(objectsOf(receipt).readBecause);

test.each(MAJORS)("large objects on %i: taken over when untouched, all read when one was written to", async (major) => {
  await using bench = await benchWithObjects(major);
  await using source = bench.source;
  const all = { "everything is read": OBJECT_COUNT };
  expect(objectsOf(await bench.backup())).toEqual({ takenOverCount: 0, readBecause: all });
  await source.psql("UPDATE item SET word = 'changed' WHERE i = 1");
  const second = await bench.backup();
  expect(objectsOf(second)).toEqual(ALL_TAKEN_OVER);
  expect(second).toMatchObject({ largeObjectCount: OBJECT_COUNT, reading: { readSegmentCount: 1 } });
  expect(second.reading.explanation!.runsSinceFullRead).toBe(1);
  expect(second.reading.takenOverRawBytes).toBeGreaterThan(4_800_000);
  expect(await bench.repository.verify(second.id)).toMatchObject({ isIntact: true });
  await expectStockRestores(bench, second.id);

  await source.psql("SELECT lo_put(60000, 4000000, 'changed')");
  const third = await bench.backup();
  expect(objectsOf(third)).toEqual({ takenOverCount: 0, readBecause: { [TOUCHED]: OBJECT_COUNT } });
  await expectSame(bench, third);
});

/** Out of an archive, by PostgreSQL's own tool. */
async function expectStockRestores({ repository, server, source }: IncrementalBench, id: string): Promise<void> {
  const { file } = await repository.export(id, `${id}.dump`);
  await using copy = await server.createDatabase();
  expect(await stockRestore(server.tools, file, copy.uri)).toMatchObject({ status: 0 });
  const { differences, counts } = await compareDatabases(source, copy);
  expect(differences, formatDifferences(differences)).toEqual([]);
  expect(counts["large object"]).toBe(OBJECT_COUNT);
}

const SUMS = `SELECT count(*), sum(hashtextextended(oid || ' ' || lomowner || ' ' || md5(lo_get(oid)), 0)) FROM pg_largeobject_metadata`;

/** Restored, they are what the source has. */
async function expectSame({ repository, server, source }: IncrementalBench, { id }: BackupReceipt): Promise<void> {
  await using copy = await server.createDatabase();
  await repository.restore(id, copy.uri);
  expect(await copy.psql(SUMS)).toBe(await source.psql(SUMS));
}

test("large objects are read after some were truncated or made again, and after all were rewritten", async () => {
  await using bench = await benchWithObjects(18);
  await using source = bench.source;
  await bench.backup();
  await source.psql("BEGIN; SELECT lo_truncate(lo_open(60000, x'60000'::int), 4000000); COMMIT");
  await source.psql("BEGIN; SELECT lo_unlink(40009); SELECT lo_create(40009); COMMIT");
  const shortened = await bench.backup();
  expect([reasonsOf(shortened), objectsOf(shortened).takenOverCount]).toEqual([[TOUCHED], 0]);
  await expectSame(bench, shortened);
  await settle(bench);
  await source.psql("VACUUM FULL pg_largeobject");
  const rewritten = await bench.backup();
  expect(reasonsOf(rewritten)).toEqual(["pg_largeobject: it was rewritten (another file)"]);
  await expectSame(bench, rewritten);
});

/** Until nothing is touched by reading or vacuuming any more. */
async function settle(bench: IncrementalBench): Promise<void> {
  await bench.source.psql("VACUUM pg_largeobject");
  for (let attempt = 0; attempt < 3; attempt += 1) {
    if (objectsOf(await bench.backup()).takenOverCount > 0) return;
  }
  throw new Error("large objects are read each time");
}

test("what the metadata alone says is of now: objects made or gone without data, or of another owner", async () => {
  await using bench = await benchWithObjects(18);
  await using source = bench.source;
  await bench.backup();
  await source.psql("SELECT lo_create(50001); SELECT lo_unlink(50000); ALTER LARGE OBJECT 42003 OWNER TO pg_monitor");
  const second = await bench.backup();
  expect(reasonsOf(second)).toEqual([OTHERS]);
  const { takenOverCount, readBecause } = objectsOf(second);
  expect(takenOverCount).toBeGreaterThan(0);
  expect(takenOverCount + readBecause[OTHERS]!).toBe(OBJECT_COUNT);
  await expectSame(bench, second);
  expect(objectsOf(await bench.backup())).toEqual(ALL_TAKEN_OVER);
});

test("large objects are read after the database was moved there and back, in a file of the same name", async () => {
  await using bench = await benchWithObjects(18);
  await using source = bench.source;
  const control = (sql: string): Promise<string> => bench.server.psql("postgres", sql);
  const move = (to: string): Promise<string> => control(`ALTER DATABASE ${source.name} SET TABLESPACE ${to}`);
  await control("SET allow_in_place_tablespaces = on; CREATE TABLESPACE aside LOCATION ''");
  await bench.backup();
  await move("aside");
  await source.psql("SELECT lo_put(40007, 3, 'x')");
  await move("pg_default");
  await control("DROP TABLESPACE aside");
  const moved = await bench.backup();
  expect(reasonsOf(moved)).toEqual(["pg_largeobject: the database was made, or moved between tablespaces"]);
  await expectSame(bench, moved);
});

test("large objects of which the parent has lost a chunk are read", async () => {
  await using bench = await benchWithObjects(18);
  await using _source = bench.source;
  const first = await bench.backup();
  const packs = join(bench.repository.access.location, "packs");
  const files = await readdir(packs, { recursive: true, withFileTypes: true });
  const [pack] = files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name));
  const bytes = await readFile(pack!);
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(pack!, bytes);
  expect(await bench.repository.verify(first.id)).toMatchObject({ isIntact: false });
  const second = await bench.backup();
  expect(reasonsOf(second)).toEqual([OTHERS]);
  expect(await bench.repository.verify(second.id)).toMatchObject({ isIntact: true });
  await expectSame(bench, second);
});

test("--reread compares large objects, and finds one that was changed behind the server's back", async () => {
  await using bench = await benchWithObjects(18);
  await using source = bench.source;
  await bench.backup();
  const same = await bench.backup({ isReread: true });
  expect(same.reading.selfCheck).toMatchObject({ comparedLargeObjectCount: OBJECT_COUNT, differenceCount: 0 });
  expect(objectsOf(same)).toEqual({ takenOverCount: 0, readBecause: { "to be compared": OBJECT_COUNT } });
  await changeFile(servers.get(18)!, source);
  const unseen = await bench.backup();
  expect(objectsOf(unseen)).toEqual(ALL_TAKEN_OVER);
  const found = await bench.backup({ isReread: true });
  const range = { firstOid: 60_000, lastOid: 60_000 };
  expect(found.reading.selfCheck).toMatchObject({ differenceCount: 1, largeObjectDifferences: [range] });
  expect(found.warnings.join("\n")).toMatch(/^self-check: .*: large object 60000$/m);
  await expectSame(bench, found);
  expect((await bench.backup()).reading.allReadBecause).toMatch(/incremental reading is off until a run with --full/);
});

/** Changes a byte of the long object in the file of pg_largeobject, which a server without checksums does not notice. */
async function changeFile(server: OwnServer, source: TestDatabase): Promise<void> {
  const path = await source.psql("SELECT pg_relation_filepath('pg_largeobject')");
  const place = "SELECT (ctid::text::point)[0]::int FROM pg_largeobject WHERE loid = 60000 AND pageno = 1500";
  const block = Number(await source.psql(place));
  await server.stop("fast");
  const file = join(server.dataDirectory, path);
  const bytes = await readFile(file);
  bytes[block * 8192 + 8192 - 100]! ^= 1;
  await writeFile(file, bytes);
  await writeFile(server.logFile, ""); // sessions that were ended by the stop are no failure of the start
  await server.start();
}
