// Drills judged by the pg_dump of another major than the one that wrote the archive, and on a server of another major: what
// is worded otherwise is judged by a reference, large objects one by one, and defects are found as ever.

import { afterAll, beforeAll, expect, test } from "vitest";

import { loadDatabase } from "../support/databases.ts";
import { clientTools, server, type Major, type TestDatabase } from "../support/servers.ts";
import { isFullMatrix, TestRepository } from "../matrix/support.ts";
import { drill, findingsOf } from "./support.ts";

const schema = `
  CREATE TABLE base (id int PRIMARY KEY, note varchar(40) CHECK (note IN ('a', 'b')), day date DEFAULT now());
  CREATE TABLE child (extra text) INHERITS (base);
  CREATE VIEW grouped AS SELECT id, count(*) FROM base GROUP BY id;
  CREATE MATERIALIZED VIEW kept AS SELECT * FROM base;
  CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql AS 'SELECT i * 2';
  CREATE INDEX base_twice ON base (day);
  CREATE STATISTICS both_of ON id, note FROM base;
  CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
  CREATE TRIGGER base_touch BEFORE UPDATE ON base FOR EACH ROW EXECUTE FUNCTION touch();
  INSERT INTO base VALUES (1, 'a'), (2, 'b');
  GRANT SELECT ON base TO PUBLIC;
  SELECT lo_from_bytea(70001, 'one'), lo_from_bytea(70002, 'two'), lo_from_bytea(70003, 'three');
  GRANT SELECT ON LARGE OBJECT 70002 TO PUBLIC;
  COMMENT ON LARGE OBJECT 70003 IS 'the third';`;

const olderMajors: readonly Major[] = isFullMatrix ? [13, 14, 15, 16, 17] : [];

let repository: TestRepository;
let source: TestDatabase;
let on = "";
let onNewer = "";
let id = "";
beforeAll(async () => {
  const pg = await server(15);
  on = pg.uri("postgres");
  onNewer = (await server(18)).uri("postgres");
  repository = await TestRepository.create();
  source = await pg.createDatabase();
  await source.psql(schema);
  ({ id } = await repository.backup(source.uri, { lineage: "other major" }));
});
afterAll(async () => {
  await source[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

test("drill of 15 with the bundled pg_dump 17 passes", async () => {
  const report = await drill(repository, id, { on, pgDump: "bundled" });
  expect(findingsOf(report)).toEqual([]);
  expect(report).toMatchObject({ outcome: "passed", notCompared: [], pgDump: { path: null } });
  expect(report.pgDump!.version).toMatch(/^17\./);
  expect(report.compared.largeObjects).toBe(3);
});

test("drill of 15 with the bundled pg_dump 17 finds each defect", async () => {
  const report = await drill(repository, id, {
    on,
    pgDump: "bundled",
    plant: `
      DROP INDEX base_twice;
      REVOKE SELECT ON base FROM PUBLIC;
      DROP VIEW grouped;
      CREATE VIEW grouped AS SELECT id, count(*) + 1 AS count FROM base GROUP BY id;
      CREATE OR REPLACE FUNCTION twice(i int) RETURNS int LANGUAGE sql AS 'SELECT i * 3';
      ALTER TABLE child ALTER extra SET DEFAULT 'x';
      REVOKE SELECT ON LARGE OBJECT 70002 FROM PUBLIC;
      ALTER LARGE OBJECT 70001 OWNER TO pg_monitor;
      DROP STATISTICS both_of;
      CREATE TABLE surplus ();`,
  });
  expect(findingsOf(report).toSorted()).toEqual([
    "entry: ACL LARGE OBJECT 70002 is missing",
    "entry: ACL public.TABLE base is missing",
    "entry: BLOB 70001 has another owner",
    "entry: FUNCTION public.twice(integer) has another definition",
    "entry: INDEX public.base_twice is missing",
    "entry: STATISTICS public.both_of is missing",
    "entry: TABLE DATA public.surplus is not in the archive",
    "entry: TABLE public.child has another definition",
    "entry: TABLE public.surplus is not in the archive",
    "entry: VIEW public.grouped has another definition",
    "index: INDEX public.base_twice is missing",
  ]);
});

test("drill of 15 on 18 compares every entry by name, and names those whose text 18 words otherwise", async () => {
  const report = await drill(repository, id, { on: onNewer });
  expect(findingsOf(report)).toEqual([]);
  const same = await drill(repository, id, { on });
  expect(same).toMatchObject({ outcome: "passed", pgDump: { version: expect.stringMatching(/^15\./) as string } });
  expect(report.compared.entries).toBe(same.compared.entries);
  expect(report.pgDump!.version).toMatch(/^18\./);
  expect(report.notCompared.map(({ name }) => name).toSorted()).toEqual([
    "MATERIALIZED VIEW public.kept",
    "VIEW public.grouped",
  ]);
  expect(report.notCompared[0]!.reason).toBe(
    "its text: PostgreSQL 18 words it otherwise than 15; the archive's definitions give the same here",
  );
  expect(report.outcome).toBe("partial");
});

test("drill of 15 on 18 finds each defect by name", async () => {
  const report = await drill(repository, id, {
    on: onNewer,
    plant: `
      DROP INDEX base_twice;
      REVOKE SELECT ON base FROM PUBLIC;
      DROP TRIGGER base_touch ON base;
      DROP VIEW grouped;
      CREATE VIEW grouped AS SELECT id, count(*) + 1 AS count FROM base GROUP BY id;
      CREATE OR REPLACE FUNCTION twice(i int) RETURNS int LANGUAGE sql AS 'SELECT i * 3';
      ALTER FUNCTION touch() OWNER TO pg_monitor;
      REVOKE SELECT ON LARGE OBJECT 70002 FROM PUBLIC;
      DROP STATISTICS both_of;
      CREATE TABLE surplus ();`,
  });
  expect(report.outcome).toBe("failed");
  expect(findingsOf(report).toSorted()).toEqual([
    "entry: ACL LARGE OBJECT 70002 is missing",
    "entry: ACL public.TABLE base is missing",
    "entry: FUNCTION public.touch() has another owner",
    "entry: FUNCTION public.twice(integer) has another definition",
    "entry: INDEX public.base_twice is missing",
    "entry: STATISTICS public.both_of is missing",
    "entry: TABLE DATA public.surplus is not in the archive",
    "entry: TABLE public.surplus is not in the archive",
    "entry: TRIGGER public.base base_touch is missing",
    "entry: VIEW public.grouped has another definition",
    "index: INDEX public.base_twice is missing",
  ]);
});

test("drill of 15 on 18 without a pg_dump that reads 18 says that its table of contents was not compared", async () => {
  const { pgDump } = await clientTools(15);
  const report = await drill(repository, id, { on: onNewer, pgDump });
  expect(report).toMatchObject({ outcome: "partial", differences: [], compared: { entries: null } });
  expect(report.notCompared).toEqual([
    { name: "table of contents", reason: "no pg_dump is here that reads PostgreSQL 18" },
  ]);
});

test.each(olderMajors)("drill of torture of %i on 18 finds nothing different", async (major) => {
  const [older, newer] = [await server(major), await server(18)];
  const options = { variables: { many: "5" } };
  await using _roles = await loadDatabase(newer, "torture", options);
  await using torture = await loadDatabase(older, "torture", options);
  const receipt = await repository.backup(torture.uri, { lineage: `torture ${major}` });
  const report = await drill(repository, receipt.id, { on: onNewer });
  expect(findingsOf(report)).toEqual([]);
  expect(report).toMatchObject({
    rowCount: receipt.rowCount,
    pgDump: { version: expect.stringMatching(/^18\./) as string },
  });
  expect(report.compared.entries).toBeGreaterThan(700);
  const unwritten = report.notCompared.filter(({ reason }) => !reason.startsWith("its text: "));
  // Before 15 the default was another: what had to be said of it there is the default since.
  expect(unwritten.map(({ name }) => name)).toEqual(major < 15 && unwritten.length > 0 ? ["ACL SCHEMA public"] : []);
});
