// The comparison judges everything else, so it is judged first: the official tools' own round trip must come out equal
// but for the named exceptions, and each planted difference must be found.

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { officialExceptions } from "./comparison-exceptions.ts";
import { compareDatabases, formatDifferences } from "./compare.ts";
import type { ComparedDatabase } from "./compare.ts";
import { hasSampleData, loadDatabase, SAMPLE_NAMES } from "./databases.ts";
import { MAJORS, runTool, server } from "./servers.ts";
import type { TestDatabase } from "./servers.ts";

/** pg_dump -Fc and pg_restore, of the tools that go with the server. */
async function officialCopy(source: TestDatabase, target = source.server): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), "cairn-official-"));
  const copy = await target.createDatabase();
  try {
    const { pgDump, pgRestore } = target.tools;
    await runTool(pgDump, ["-Fc", "-Z1", "-f", join(folder, "a"), "-d", source.uri]);
    await promisify(execFile)(pgRestore, ["-d", copy.uri, join(folder, "a")]).catch((error: Error) => error);
    return copy;
  } finally {
    await rm(folder, { recursive: true });
  }
}

const isFullMatrix = process.env["CAIRN_TEST_MATRIX"] === "full";

describe.each(isFullMatrix ? MAJORS : ([15, 18] as const))("compareDatabases() on PostgreSQL %i", (major) => {
  test("official round trip of torture.sql is equal but for the named exceptions", async () => {
    const pg = await server(major);
    await using source = await loadDatabase(pg, "torture");
    await using copy = await officialCopy(source);
    const exceptions = officialExceptions({ sourceMajor: major, targetMajor: major, toolsMajor: pg.tools.major });
    const comparison = await compareDatabases(source, copy, { exceptions });
    expect(formatDifferences(comparison.differences)).toBe("");
    expect(comparison.counts.schema).toBeGreaterThan(700);
    expect(comparison.counts.rows).toBeGreaterThan(150);
    expect(comparison.counts.sequence).toBeGreaterThan(5);
    expect(comparison.counts["large object"]).toBeGreaterThan(20);
  });
});

// 15 and 17 stand out: their November 2026 releases need a pg_dump that knows pg_attver.
test.runIf(isFullMatrix).each([13, 14, 16] as const)(
  "official upgrade of torture.sql from %i to 18 is equal but for …",
  async (major) => {
    const [old, target] = await Promise.all([server(major), server(18)]);
    await using _roles = await loadDatabase(target, "torture");
    await using source = await loadDatabase(old, "torture");
    await using copy = await officialCopy(source, target);
    const exceptions = officialExceptions({ sourceMajor: major, targetMajor: 18, toolsMajor: 18 });
    const comparison = await compareDatabases(source, copy, { exceptions });
    expect(formatDifferences(comparison.differences)).toBe("");
  },
);

test.skipIf(!hasSampleData).each(SAMPLE_NAMES)("official round trip of %s is equal", async (sample) => {
  const pg = await server(18);
  await using source = await loadDatabase(pg, sample);
  await using copy = await officialCopy(source);
  const comparison = await compareDatabases(source, copy);
  expect(formatDifferences(comparison.differences)).toBe("");
  expect(comparison.counts.schema).toBeGreaterThan(10);
});

const setUp = `
  CREATE TABLE t (a int PRIMARY KEY, b text, c bytea);
  INSERT INTO t SELECT i, 'row ' || i, decode(md5(i::text), 'hex') FROM generate_series(1, 100) i;
  CREATE INDEX t_b ON t (b);
  CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
  CREATE SEQUENCE s; SELECT setval('s', 41);
  COMMENT ON TABLE t IS 'first';
  GRANT SELECT ON t TO PUBLIC;
  SELECT lo_from_bytea(4711, 'contents');
  CREATE TABLE part (k int, v int) PARTITION BY RANGE (k);
  CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
  CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
  INSERT INTO part SELECT i, i FROM generate_series(0, 19) i;
`;

describe("compareDatabases() finds", () => {
  let left: TestDatabase;
  let right: TestDatabase;
  beforeAll(async () => {
    const pg = await server(18);
    left = await pg.createDatabase();
    right = await pg.createDatabase();
    await left.psql(setUp);
    await right.psql(setUp);
  });
  afterAll(async () => {
    await left[Symbol.asyncDispose]();
    await right[Symbol.asyncDispose]();
  });

  async function found(a: ComparedDatabase, b: ComparedDatabase): Promise<string[]> {
    const { differences } = await compareDatabases(a, b, { databaseProperties: true });
    return differences.map(({ kind, name }) => `${kind} ${name}`).toSorted();
  }

  test("nothing between equal databases", async () => {
    expect(await found(left, right)).toEqual([]);
  });

  test.each([
    ["a row dropped", "DELETE FROM t WHERE a = 50", "INSERT INTO t SELECT * FROM kept", ["rows public.t"]],
    [
      "a value changed",
      "UPDATE t SET b = 'other' WHERE a = 7",
      "UPDATE t SET b = 'row 7' WHERE a = 7",
      ["rows public.t"],
    ],
    [
      "one bit of a bytea",
      "UPDATE t SET c = set_bit(c, 5, 1 - get_bit(c, 5)) WHERE a = 9",
      "UPDATE t SET c = set_bit(c, 5, 1 - get_bit(c, 5)) WHERE a = 9",
      ["rows public.t"],
    ],
    [
      "a row doubled",
      "INSERT INTO part VALUES (3, 3)",
      "DELETE FROM part WHERE ctid = (SELECT max(ctid) FROM part_1)",
      ["rows public.part", "rows public.part_1"],
    ],
    ["a sequence behind", "SELECT setval('s', 40)", "SELECT setval('s', 41)", ["sequence public.s"]],
    ["a sequence not called", "SELECT setval('s', 41, false)", "SELECT setval('s', 41)", ["sequence public.s"]],
    ["an index missing", "DROP INDEX t_b", "CREATE INDEX t_b ON t (b)", ["schema INDEX public.t_b"]],
    ["a grant missing", "REVOKE SELECT ON t FROM PUBLIC", "GRANT SELECT ON t TO PUBLIC", ["schema ACL public.TABLE t"]],
    [
      "another access method",
      "ALTER TABLE t SET ACCESS METHOD heap2",
      "ALTER TABLE t SET ACCESS METHOD heap",
      ["schema TABLE public.t"],
    ],
    [
      "a comment changed",
      "COMMENT ON TABLE t IS 'second'",
      "COMMENT ON TABLE t IS 'first'",
      ["schema COMMENT public.TABLE t"],
    ],
    ["a large object's contents", "SELECT lo_put(4711, 3, 'X')", "SELECT lo_put(4711, 3, 't')", ["large object 4711"]],
    [
      "a large object's grant",
      "GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC",
      "REVOKE SELECT ON LARGE OBJECT 4711 FROM PUBLIC",
      ["large object 4711"],
    ],
    [
      "a large object missing",
      "SELECT lo_unlink(4711)",
      "SELECT lo_from_bytea(4711, 'contents')",
      ["large object 4711"],
    ],
    ["a table too many", "CREATE TABLE more ()", "DROP TABLE more", ["rows public.more", "schema TABLE public.more"]],
  ])("%s", async (_what, breach, cure, expected) => {
    await right.psql("CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM t WHERE a = 50");
    await left.psql("CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM t WHERE a = 50");
    await right.psql(breach);
    expect(await found(left, right)).toEqual(expected);
    await right.psql(cure);
    expect(await found(left, right)).toEqual([]);
  });

  test("a setting of the database", async () => {
    await right.psql(`ALTER DATABASE ${right.name} SET work_mem = '7MB'`);
    expect(await found(left, right)).toEqual(["database settings"]);
    await right.psql(`ALTER DATABASE ${right.name} RESET ALL`);
  });
});
