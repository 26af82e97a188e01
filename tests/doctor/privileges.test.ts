// doctor names each missing privilege with the statement that grants it: run them, and pg_dump works as that role.

import { readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { quoteIdentifier } from "../../src/postgres/index.ts";
import { readToc } from "../../src/archive/index.ts";
import { checkEntries, entryOidsOf, parseSelectionFlags } from "../../src/dump/index.ts";
import type { EntryOids } from "../../src/dump/index.ts";
import { runTool, server } from "../support/servers.ts";
import type { TestDatabase, TestServer } from "../support/servers.ts";
import { codesOf, doctor, found, HOSTILE, plainRole, sessionOn } from "./support.ts";

const schema = quoteIdentifier(HOSTILE.schema);
const table = `${schema}.${quoteIdentifier(HOSTILE.table)}`;
const sequence = `${schema}.${quoteIdentifier(HOSTILE.sequence)}`;
const role = quoteIdentifier(HOSTILE.role);

async function makeObjects(database: TestDatabase): Promise<void> {
  expect(Buffer.byteLength(HOSTILE.table)).toBe(63);
  await database.psql(`
    CREATE SCHEMA ${schema}; CREATE TABLE ${table} (a int, b text); INSERT INTO ${table} VALUES (1, 'x');
    CREATE SEQUENCE ${sequence};
    SELECT lo_from_bytea(4711, 'abc')`);
}

function dumpAs(pg: TestServer, database: TestDatabase, user: string): Promise<string> {
  return runTool(pg.tools.pgDump, ["-d", pg.uri(database.name, { user })]);
}

describe.each([13, 15, 18] as const)("doctor on PostgreSQL %i", (major) => {
  test("names every missing privilege, and its statements cure them", async () => {
    const pg = await server(major);
    await using database = await pg.createDatabase();
    await makeObjects(database);
    await using _ = await plainRole(pg, database.name, HOSTILE.role);
    const source = pg.uri(database.name, { user: HOSTILE.role });
    await expect(dumpAs(pg, database, HOSTILE.role)).rejects.toThrow("permission denied");

    const codes = ["schema-privilege", "table-privilege", "sequence-privilege", "large-object-privilege"];
    const report = await doctor(source);
    expect(report.isReady).toBe(false);
    expect(codesOf(report, "blocking")).toEqual(codes);
    for (const finding of report.findings) expect(finding.message).not.toMatch(/[\r\n]/);
    expect(found(report, "table-privilege")[0]!.statements).toEqual([`GRANT SELECT ON TABLE ${table} TO ${role};`]);

    // Each in turn: cured alone, only its own finding goes away.
    for (const code of codes) {
      for (const statement of found(report, code)[0]!.statements!) await database.psql(statement);
      const next = await doctor(source);
      expect(codesOf(next, "blocking")).toEqual(codes.slice(codes.indexOf(code) + 1));
    }
    expect((await doctor(source)).isReady).toBe(true);
    await dumpAs(pg, database, HOSTILE.role);
  });

  test("says that SELECT on columns does not do", async () => {
    const pg = await server(major);
    await using database = await pg.createDatabase();
    await using _ = await plainRole(pg, database.name, "doctor columns");
    await database.psql(`CREATE TABLE public.t (a int); GRANT SELECT (a) ON t TO "doctor columns"`);
    const report = await doctor(pg.uri(database.name, { user: "doctor columns" }));
    expect(found(report, "table-privilege")[0]!.detail).toContain("SELECT on columns alone does not do");
    await expect(dumpAs(pg, database, "doctor columns")).rejects.toThrow("permission denied");
  });

  test("names tables whose row security applies to the role, and the cure", async () => {
    const pg = await server(major);
    await using database = await pg.createDatabase();
    const user = `doctor rls ${major}`;
    await using _ = await plainRole(pg, database.name, user);
    await database.psql(`
      CREATE TABLE public.hidden (a int); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
      CREATE TABLE public.own (a int); ALTER TABLE own ENABLE ROW LEVEL SECURITY; ALTER TABLE own OWNER TO "${user}";
      CREATE TABLE public.forced (a int); ALTER TABLE forced ENABLE ROW LEVEL SECURITY;
      ALTER TABLE forced FORCE ROW LEVEL SECURITY; ALTER TABLE forced OWNER TO "${user}";
      GRANT SELECT ON hidden TO "${user}"`);
    const source = pg.uri(database.name, { user });
    const finding = found(await doctor(source), "row-security")[0]!;
    expect(finding.severity).toBe("blocking");
    expect(finding.message).toContain("public.forced, public.hidden");
    expect(finding.detail).toContain("forced on the owner too: public.forced");
    await expect(dumpAs(pg, database, user)).rejects.toThrow("row-level security");

    const enabled = await doctor(source, { selection: ["--enable-row-security"] });
    expect(found(enabled, "row-security")[0]!.severity).toBe("warning");
    expect((await doctor(source, { selection: ["-s"] })).isReady).toBe(true);

    for (const statement of finding.statements!) await database.psql(statement);
    expect((await doctor(source)).isReady).toBe(true);
    await dumpAs(pg, database, user);
  });
});

test("doctor offers pg_read_all_data from 14 on, and it cures all but large objects", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase();
  await makeObjects(database);
  await using _ = await plainRole(pg, database.name, HOSTILE.role);
  const source = pg.uri(database.name, { user: HOSTILE.role });
  const hint = found(await doctor(source), "table-privilege")[0]!.hint!;
  const statement = `GRANT pg_read_all_data TO ${role};`;
  expect(hint).toContain(statement);
  await database.psql(statement);
  expect(codesOf(await doctor(source), "blocking")).toEqual(["large-object-privilege"]);
  expect((await doctor(source, { selection: ["--no-blobs"] })).isReady).toBe(true);
  await database.psql(`REVOKE pg_read_all_data FROM ${role}`);
});

test("doctor grants many tables by schema and many large objects in one block", async () => {
  const pg = await server(15);
  await using database = await pg.createDatabase();
  await database.psql(`
    CREATE SCHEMA ${schema};
    DO $x$ BEGIN FOR i IN 1..250 LOOP EXECUTE format('CREATE TABLE %I.t%s (a int)', E'${HOSTILE.schema.replaceAll("'", "''").replaceAll("\\", "\\\\")}', i); END LOOP; END $x$;
    SELECT count(lo_create(0)) FROM generate_series(1, 600)`);
  await using _ = await plainRole(pg, database.name, HOSTILE.role);
  const source = pg.uri(database.name, { user: HOSTILE.role });
  const report = await doctor(source);
  expect(found(report, "large-object-privilege")[0]!.message).toContain("600 large objects");
  const statements = report.findings
    .filter(({ severity }) => severity === "blocking")
    .flatMap(({ statements: all }) => all ?? []);
  expect(statements).toHaveLength(3);
  for (const statement of statements) await database.psql(statement);
  expect((await doctor(source)).isReady).toBe(true);
});

test("doctor looks as --role, and says when the session may not become it", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase();
  await using _first = await plainRole(pg, database.name, "doctor login");
  await using _second = await plainRole(pg, database.name, "doctor reader");
  await database.psql(`CREATE TABLE public.t (a int); GRANT SELECT ON t TO "doctor reader"`);
  const source = pg.uri(database.name, { user: "doctor login" });
  expect(codesOf(await doctor(source), "blocking")).toEqual(["table-privilege"]);
  const report = await doctor(source, { selection: ["--role", "doctor reader"] });
  expect(codesOf(report, "blocking")).toEqual(["set-role"]);
  for (const statement of found(report, "set-role")[0]!.statements!) await database.psql(statement);
  expect((await doctor(source, { selection: ["--role", "doctor reader"] })).isReady).toBe(true);
  expect(codesOf(await doctor(source, { selection: ["--role", 'no "such'] }), "blocking")).toEqual(["set-role"]);
});

test("checkEntries() looks at exactly the OIDs given", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase();
  await makeObjects(database);
  await using _ = await plainRole(pg, database.name, "doctor entries");
  await using session = await sessionOn(pg.uri(database.name, { user: "doctor entries" }));
  const oids = await database.psql(
    `SELECT oid FROM pg_class WHERE relkind IN ('r', 'S') AND relnamespace > 16384 ORDER BY relkind = 'S'`,
  );
  const [tableOid, sequenceOid] = oids.split("\n").map(Number) as [number, number];
  const options = { server: session.serverVersion, flags: parseSelectionFlags([]) };
  const none: EntryOids = { tableOids: [], dataOids: [], sequenceOids: [], sequenceNames: [], largeObjectOids: [] };
  const codes = async (entries: Partial<EntryOids>): Promise<string[]> =>
    (await checkEntries(session, { ...none, ...entries }, options)).map(({ severity, code }) => `${severity} ${code}`);
  expect(await codes({})).toEqual(["ok privileges"]);
  expect(await codes({ tableOids: [tableOid] })).toEqual(["blocking schema-privilege", "blocking table-privilege"]);
  expect(await codes({ sequenceOids: [sequenceOid] })).toEqual([
    "blocking schema-privilege",
    "blocking sequence-privilege",
  ]);
  expect(await codes({ sequenceNames: [{ schema: HOSTILE.schema, name: HOSTILE.sequence }] })).toEqual([
    "blocking schema-privilege",
    "blocking sequence-privilege",
  ]);
  expect(await codes({ largeObjectOids: [4711] })).toEqual(["ok privileges", "blocking large-object-privilege"]);
});

test.each([13, 18] as const)("doctor agrees with pg_dump on an extension's tables, on PostgreSQL %i", async (major) => {
  const pg = await server(major);
  await using database = await pg.createDatabase();
  const user = `doctor extension ${major}`;
  await using _ = await plainRole(pg, database.name, user);
  await database.psql(`CREATE EXTENSION torture_ext; DROP OWNED BY "${user}"`);
  const source = pg.uri(database.name, { user });
  const fails = async (): Promise<string> => await dumpAs(pg, database, user).then(() => "", String);
  expect(await fails()).toMatch(/permission denied|may lack SELECT/);
  const report = await doctor(source);
  expect(report.isReady).toBe(false);
  const statements = report.findings
    .filter(({ severity }) => severity === "blocking")
    .flatMap((finding) => finding.statements!);
  for (const statement of statements) await database.psql(statement);
  expect(await fails()).toBe("");
  expect((await doctor(source)).isReady).toBe(true);
});

test("entryOidsOf() takes from pg_dump's table of contents what checkEntries() looks at", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase();
  await makeObjects(database);
  await using _ = await plainRole(pg, database.name, "doctor contents");
  const file = join(tmpdir(), `cairn-doctor-${process.pid}.dump`);
  await using _file = { [Symbol.asyncDispose]: () => rm(file, { force: true }) };
  await runTool(pg.tools.pgDump, ["-Fc", "-a", "-f", file, "-d", database.uri]);
  const { toc } = await readToc(await readFile(file));
  await using session = await sessionOn(pg.uri(database.name, { user: "doctor contents" }));
  const options = { server: session.serverVersion, flags: parseSelectionFlags([]) };
  const findings = await checkEntries(session, entryOidsOf(toc, [4711]), options);
  expect(findings.map(({ code }) => code)).toEqual([
    "schema-privilege",
    "table-privilege",
    "sequence-privilege",
    "large-object-privilege",
  ]);
});
