// cairn coverage of a server of one's own: what is in no backup is named, and nothing else.

import { afterAll, beforeAll, expect, test } from "vitest";

import { coverage } from "../../src/cli/commands/coverage.ts";
import { runCoverage, type CoverageReport } from "../../src/operations/coverage/index.ts";
import { ownServer, type OwnServer } from "../support/servers.ts";
import { TestRepository } from "../matrix/support.ts";

let repository: TestRepository;
let pg: OwnServer;

beforeAll(async () => {
  [repository, pg] = await Promise.all([TestRepository.create(), ownServer(17)]);
});
afterAll(async () => {
  await pg[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

const look = (excludedDatabases: readonly string[] = []): Promise<CoverageReport> =>
  runCoverage(repository.context(), { source: pg.uri("postgres"), repository: repository.access, excludedDatabases });

const stateOf = (report: CoverageReport, name: string): unknown =>
  report.databases.find((database) => database.name === name);

test("coverage names databases, tables, sequences and large objects that are in no backup", async () => {
  const shop = await pg.createDatabase("shop");
  await shop.psql(`
    CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY);
    CREATE TABLE log (id int);
    CREATE VIEW words AS SELECT id FROM log;
    CREATE TABLE parts (day int) PARTITION BY LIST (day);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
    SELECT lo_create(70001);`);
  const other = await pg.createDatabase("odd\nname");
  await other.psql("CREATE TABLE forgotten (id int)");
  await pg.createDatabase("nothing");

  const before = await look();
  expect(stateOf(before, "shop")).toMatchObject({ state: "none", restorePoints: [], tableCount: 3, uncovered: [] });
  expect(coverage.exitStatus(before)).toBe(3);

  const receipt = await repository.backup(shop.uri, { selection: ["--exclude-table-data=log"] });
  await shop.psql("CREATE TABLE young (id int); CREATE SEQUENCE tickets; SELECT lo_create(70002)");
  const report = await look();
  expect(stateOf(report, "shop")).toMatchObject({
    state: "part",
    restorePoints: [{ id: receipt.id }],
    uncovered: [
      { kind: "table", name: "public.log", reason: "its definition is in a restore point, its rows are not" },
      { kind: "sequence", name: "public.tickets", reason: "it is in no restore point: new since, or left out" },
      { kind: "table", name: "public.young", reason: "it is in no restore point: new since, or left out" },
      { kind: "large objects", reason: "1 of 2 are in no restore point: new since, or left out" },
    ],
  });
  expect(stateOf(report, "odd\nname")).toMatchObject({ state: "none" });
  expect(stateOf(report, "nothing")).toMatchObject({ state: "empty" });
  expect(stateOf(report, "postgres")).toMatchObject({ state: "empty" });
  expect(report.leftOut).toEqual(["template0: every server has it as it was made"]);
  const text = coverage.render(report);
  expect(text).toContain("DATABASES WITHOUT ANY BACKUP:\n  - odd\\nname\n");
  expect(text).toContain('IN NO BACKUP of "shop":\n  - table public.log (0 B): its definition');

  // Another lineage of the same database counts too.
  await repository.backup(shop.uri, { lineage: "all of shop" });
  const after = await look(["odd*"]);
  expect(stateOf(after, "shop")).toMatchObject({ state: "whole", uncovered: [] });
  expect(after.isComplete).toBe(true);
  expect(coverage.exitStatus(after)).toBe(0);

  // A database of the same name that was made anew is another one.
  await pg.dropDatabase("shop");
  await (await pg.createDatabase("shop")).psql("CREATE TABLE orders (id int)");
  expect(stateOf(await look(["odd*"]), "shop")).toMatchObject({ state: "none" });
});
