// One table out of a restore point: with --in-place what pg_restore -t of the export does, failures included, also with
// names that break what is quoted badly; and into a scratch database with its rows.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { compareDatabases, formatDifferences } from "../support/compare.ts";
import { loadDatabase } from "../support/databases.ts";
import { quoteIdentifier, server, type TestDatabase, type TestServer } from "../support/servers.ts";
import { isFullMatrix, stockRestore, TestRepository } from "./support.ts";

const HOSTILE_TABLES = [
  'ta"ble',
  "new\nline",
  "$$ $cairn$",
  "😀 emoji",
  " leading and trailing ",
  "back\\slash \\.",
  "'); DROP TABLE kept; --",
  "é".repeat(31) + "x",
  "*",
];
const SCHEMA = "sch\"e'ma\n$$";

const hostile = HOSTILE_TABLES.map((name, index) => {
  const table = `${quoteIdentifier(SCHEMA)}.${quoteIdentifier(name)}`;
  return `CREATE TABLE ${table} (${quoteIdentifier(name)} int PRIMARY KEY, word text);
    INSERT INTO ${table} SELECT i, 'row ' || i FROM generate_series(1, ${index + 1}) i;`;
}).join("\n");

describe.each(isFullMatrix ? ([15, 18] as const) : ([18] as const))("on PostgreSQL %i", (major) => {
  const disposables = new AsyncDisposableStack();
  let repository: TestRepository;
  let pg: TestServer;
  let source: TestDatabase;
  let restorePoint: string;
  let file: string;

  beforeAll(async () => {
    repository = disposables.use(await TestRepository.create());
    pg = await server(major);
    source = disposables.use(await loadDatabase(pg, "torture"));
    await source.psql(`CREATE SCHEMA ${quoteIdentifier(SCHEMA)}; ${hostile}`);
    ({ id: restorePoint } = await repository.backup(source.uri));
    ({ file } = await repository.export(restorePoint, "archive"));
  });
  afterAll(() => disposables.disposeAsync());

  /** A database with the schemas, so that what -t selects finds its place. */
  async function target(): Promise<TestDatabase> {
    const database = await pg.createDatabase();
    await database.psql(`CREATE SCHEMA ${quoteIdentifier(SCHEMA)}; CREATE SCHEMA torture; CREATE SCHEMA "odd schéma"`);
    return database;
  }

  async function expectSameAsStock(tables: readonly string[], schemas: readonly string[] = []): Promise<void> {
    await using ours = await target();
    await using theirs = await target();
    const flags = [...tables.flatMap((table) => ["-t", table]), ...schemas.flatMap((schema) => ["-n", schema])];
    const stock = await stockRestore(pg.tools, file, theirs.uri, flags);
    const report = await repository.restore(restorePoint, ours.uri, {
      options: { tables, schemas, jobs: 1 },
      allowsNonEmptyTarget: true,
    });
    expect(formatDifferences((await compareDatabases(theirs, ours)).differences)).toBe("");
    const failedIds = new Set(report.entriesFailed.map(({ dumpId }) => dumpId));
    expect([...failedIds].toSorted((a, b) => a - b)).toEqual(stock.failedIds);
    expect(report.isComplete).toBe(stock.errors.length === 0);
  }

  test("restore --in-place -t gives what pg_restore -t gives, hostile names too", async () => {
    await expectSameAsStock(HOSTILE_TABLES, [SCHEMA]);
    await expectSameAsStock([HOSTILE_TABLES[1]!]);
  });

  test.each([[["parent"]], [["pgbench_accounts", "pgbench_branches"]], [["part", "part_1"]], [["opts"]], [["v_key"]]])(
    "restore --in-place -t %j of torture.sql gives what pg_restore -t gives",
    async (tables) => {
      await expectSameAsStock(tables);
    },
  );

  test("restore -t into a scratch database brings one hostile table with its rows", async () => {
    for (const [index, name] of HOSTILE_TABLES.entries()) {
      if (!isFullMatrix && index % 2 === 1) continue;
      const qualified = `${quoteIdentifier(SCHEMA)}.${quoteIdentifier(name)}`;
      const scratch = `scratch_${major}_${index}_${source.name}`;
      const report = await repository.restore(restorePoint, pg.uri("postgres"), {
        mode: { kind: "scratch", name: scratch },
        options: { tables: [qualified], jobs: 2 },
      });
      try {
        expect(report).toMatchObject({ database: scratch, isScratch: true, isComplete: true, entriesFailed: [] });
        expect(report.rowCount).toBe(index + 1);
        expect(await pg.psql(scratch, `SELECT count(*), max(word) FROM ${qualified}`)).toBe(
          `${index + 1}|row ${index + 1}`,
        );
        const indexes = `SELECT count(*) FROM pg_index WHERE indrelid = $q$${qualified}$q$::regclass AND indisprimary`;
        expect(await pg.psql(scratch, indexes)).toBe("1");
        expect(await pg.psql(scratch, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND oid >= 16384")).toBe("1");
      } finally {
        await pg.dropDatabase(scratch);
      }
    }
  });

  test("restore -t of a table that is not there makes no database", async () => {
    const restoring = repository.restore(restorePoint, pg.uri("postgres"), {
      mode: { kind: "scratch", name: null },
      options: { tables: ["no such table"] },
    });
    await expect(restoring).rejects.toThrow('"no such table" not found');
    const made = "SELECT count(*) FROM pg_database WHERE datname LIKE 'scratch_no_such_table%'";
    expect(await pg.psql("postgres", made)).toBe("0");
  });
});
