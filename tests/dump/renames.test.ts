// Schemas and foreign tables that are renamed while `cairn dump` and `cairn backup` read: no lock keeps from that, and what
// is read by name is then of another table. Nothing may come of it but an error.

import { expect, test } from "vitest";

import type { OperationEvent } from "../../src/operations/operation.ts";
import { TestRepository } from "../matrix/support.ts";
import { server, type Major, type TestDatabase } from "../support/servers.ts";
import { dump, failureOf, restoreText, testFolder } from "./run-dump.ts";
import { runSqlNow } from "./trial-database.ts";

const TABLES = `
  CREATE SCHEMA live; CREATE TABLE live.t AS SELECT i AS a FROM generate_series(1, 3) i; CREATE TABLE live.u (a int);
  CREATE SCHEMA staging; CREATE TABLE staging.t AS SELECT 9 AS a; CREATE TABLE staging.u (a int);
  CREATE SCHEMA other; CREATE TABLE other.t (a int);`;

const SWAP =
  "ALTER SCHEMA live RENAME TO aside; ALTER SCHEMA staging RENAME TO live; ALTER SCHEMA aside RENAME TO staging";
const BACK = SWAP;

/** Runs each statement at once when the run comes to its point. */
function during(database: TestDatabase, { atRead, atEnd }: { atRead: string; atEnd?: string }) {
  return (event: OperationEvent): void => {
    if (event.type === "phase" && event.phase === "read") runSqlNow(database, atRead);
    if (event.type === "segment-done" && event.table?.includes("other") === true && atEnd !== undefined) {
      runSqlNow(database, atEnd);
    }
  };
}

test.each([13, 18] as const)(
  "cairn dump from %i ends with source_unstable when schemas exchange their names while it reads",
  async (major) => {
    await using folder = await testFolder();
    await using database = await (await server(major)).createDatabase();
    await database.psql(TABLES);
    const onEvent = during(database, { atRead: SWAP });
    const error = await failureOf(dump({ source: database.uri, file: folder.file("a"), onEvent }));
    expect(error.code).toBe("source_unstable");
    expect(error.message).toContain('"live"."t", "live"."u", "staging"."t", "staging"."u"');
    expect(error.message).not.toContain("other");
    expect(await folder.names()).toEqual([]);
  },
);

test("cairn dump warns of schemas that have their names again when it has read", async () => {
  await using folder = await testFolder();
  await using database = await (await server(18)).createDatabase();
  await database.psql(TABLES);
  const settings = { jobs: 1, selection: ["-t", "*.t"] };
  const onEvent = during(database, { atRead: SWAP, atEnd: BACK });
  const receipt = await dump({ source: database.uri, file: folder.file("a"), settings, onEvent });
  expect(receipt.warnings.join("\n")).toContain('schemas were altered while their tables were read: "live", "staging"');
});

test("cairn backup goes on when a schema is granted on meanwhile, and warns", async () => {
  await using database = await (await server(18)).createDatabase();
  await using repository = await TestRepository.create();
  await database.psql(TABLES);
  const onEvent = during(database, { atRead: "GRANT USAGE ON SCHEMA live TO public" });
  const receipt = await repository.backup(database.uri, { onEvent });
  expect(receipt.warnings.join("\n")).toContain('schemas were altered while their tables were read: "live"');
  expect(receipt.rowCount).toBe(4);
});

test("cairn dump names a foreign table that was exchanged while it read", async () => {
  await using folder = await testFolder();
  await using database = await (await server(18)).createDatabase();
  await database.psql(`CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
    CREATE FOREIGN TABLE f (a text) SERVER files OPTIONS (program 'echo 1'); ${TABLES}`);
  const settings = { selection: ["--include-foreign-data=files"] };
  const atRead = `ALTER FOREIGN TABLE f RENAME TO g;
    CREATE FOREIGN TABLE f (a text) SERVER files OPTIONS (program 'echo 2')`;
  const onEvent = during(database, { atRead });
  const error = await failureOf(dump({ source: database.uri, file: folder.file("a"), settings, onEvent }));
  expect(error).toMatchObject({ code: "source_unstable" });
  expect(error.message).toContain('"public"."f"');
});

test("cairn dump reads on when a schema that it has no rows of is renamed, and tables are made and dropped", async () => {
  await using folder = await testFolder();
  const { tools, createDatabase } = await served(18);
  await using database = await createDatabase();
  await database.psql(`CREATE SCHEMA empty; CREATE TABLE t AS SELECT 7 AS a`);
  const atRead =
    "ALTER SCHEMA empty RENAME TO void; CREATE TABLE late (a int); DROP TABLE late; GRANT SELECT ON t TO public";
  await dump({ source: database.uri, file: folder.file("a"), onEvent: during(database, { atRead }) });
  expect((await restoreText(tools.pgRestore, folder.file("a"))).toString()).toContain("FROM stdin;\n7\n");
});

test.each([15, 18] as const)(
  "cairn backup from %i makes no restore point of tables whose schemas exchanged their names",
  async (major) => {
    await using database = await (await server(major)).createDatabase();
    await using repository = await TestRepository.create();
    await database.psql(TABLES);
    const onEvent = during(database, { atRead: SWAP });
    const error = await failureOf(repository.backup(database.uri, { onEvent }));
    expect(error).toMatchObject({ code: "source_unstable" });
    expect((await repository.list()).restorePoints).toEqual([]);
  },
);

async function served(major: Major) {
  const pg = await server(major);
  return { tools: pg.tools, createDatabase: () => pg.createDatabase() };
}
