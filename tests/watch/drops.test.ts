// cairn backup of a database that holds far less than before: kept, named, and no plain success.

import { afterAll, beforeAll, expect, test } from "vitest";

import { backup } from "../../src/cli/commands/backup.ts";
import { runShow } from "../../src/operations/show/index.ts";
import { server, type TestDatabase } from "../support/servers.ts";
import { TestRepository } from "../matrix/support.ts";

let repository: TestRepository;
let source: TestDatabase;

beforeAll(async () => {
  const pg = await server(17);
  repository = await TestRepository.create();
  source = await pg.createDatabase();
  await source.psql(`
    CREATE TABLE orders (id int, note text);
    INSERT INTO orders SELECT i, 'note ' || i FROM generate_series(1, 20000) AS i;
    CREATE TABLE items (id int);
    INSERT INTO items SELECT generate_series(1, 1500);
    CREATE TABLE parts (day int) PARTITION BY LIST (day);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
    INSERT INTO parts SELECT 1 FROM generate_series(1, 1200);`);
});
afterAll(async () => {
  await source[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

test("backup names a drop, keeps the restore point, and ends with status 3", async () => {
  const first = await repository.backup(source.uri, { lineage: "watched" });
  expect(first.findings).toEqual([]);
  expect(backup.exitStatus(first)).toBe(0);
  await source.psql("DELETE FROM orders WHERE id > 100; TRUNCATE items; DROP TABLE parts_1");
  const second = await repository.backup(source.uri, { lineage: "watched" });
  expect(second.findings.map(({ code }) => code)).toEqual(["drop-rows", "drop-size", "drop-table", "drop-table"]);
  const messages = second.findings.map(({ message }) => message);
  expect(messages).toContain("table public.orders has 100 rows, 99.5 % less than before (20,000)");
  expect(messages).toContain("table public.items has 0 rows, 100 % less than before (1,500)");
  expect(backup.exitStatus(second)).toBe(3);
  expect(backup.render(second)).toContain("LOOK AT THIS: 4 findings");
  expect((await repository.verify(second.id)).isIntact).toBe(true);
  const context = repository.context();
  const shown = await runShow(context, {
    repository: repository.access,
    reference: second.id,
    what: "summary",
    tables: [],
  });
  expect(shown).toMatchObject({ warnings: expect.arrayContaining(messages) });
});

test("backup compares with nothing when the selection is another one, and keeps to the limits given", async () => {
  const other = await repository.backup(source.uri, { lineage: "watched", selection: ["--exclude-table-data=orders"] });
  expect(other.findings).toEqual([]);
  const first = await repository.backup(source.uri, { lineage: "limits" });
  expect(first.parentId).toBeNull();
  await source.psql("INSERT INTO items SELECT generate_series(1, 10000)");
  await repository.backup(source.uri, { lineage: "limits" });
  await source.psql("DELETE FROM items WHERE id > 2000");
  const dropLimits = { totalPercent: null, tablePercent: 75 };
  expect((await repository.backup(source.uri, { lineage: "limits", dropLimits })).findings).toMatchObject([
    { code: "drop-table", message: expect.stringContaining("80.0 % less") },
  ]);
  await source.psql("DELETE FROM items WHERE id > 500");
  const off = { totalPercent: null, tablePercent: null };
  expect((await repository.backup(source.uri, { lineage: "limits", dropLimits: off })).findings).toEqual([]);
});
