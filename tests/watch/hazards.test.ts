// Objects whose restore is known to fail are named when the backup is taken, and a drill shows that they do fail.

import { afterAll, beforeAll, expect, test } from "vitest";

import { server } from "../support/servers.ts";
import { drill, findingsOf } from "../drill/support.ts";
import { TestRepository } from "../matrix/support.ts";

let repository: TestRepository;
beforeAll(async () => {
  repository = await TestRepository.create();
});
afterAll(() => repository[Symbol.asyncDispose]());

test("backup names what a restore will fail at; a drill fails at just that", async () => {
  const pg = await server(14);
  await using source = await pg.createDatabase();
  await source.psql(`
    CREATE SCHEMA app;
    CREATE FUNCTION app.norm(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(t)';
    SET search_path = app;
    CREATE FUNCTION path(t text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN norm(t) IS NOT NULL; END $$;
    CREATE TABLE by_path (t text CHECK (path(t)));
    INSERT INTO by_path VALUES ('x');
    CREATE TABLE half (c "char", d "char");
    INSERT INTO half VALUES ('é'::"char", 'e');
    CREATE TABLE fine (c "char");
    INSERT INTO fine VALUES ('c');`);
  const receipt = await repository.backup(source.uri, { lineage: "hazards" });
  expect(receipt.warnings.filter((warning) => warning.includes("a restore"))).toEqual([
    'a restore fails at the rows of c of app.half: the column, of type "char", holds a byte above 127',
    "a restore is likely to fail at CHECK constraint by_path_t_check of app.by_path: function app.path names function norm without a schema",
  ]);
  const report = await drill(repository, receipt.id, { on: pg.uri("postgres") });
  expect(report.outcome).toBe("failed");
  expect(findingsOf(report).toSorted()).toEqual([
    expect.stringMatching(/^restore: TABLE DATA app\.by_path was not restored: function norm\(text\) does not exist/),
    expect.stringMatching(/^restore: TABLE DATA app\.half was not restored: invalid byte sequence/),
    "rows: table app.by_path has 0 rows, not 1",
    "rows: table app.half has 0 rows, not 1",
  ]);
});
