// cairn diff between two restore points of a database that was changed in between, step by step.

import { afterAll, beforeAll, expect, test } from "vitest";

import { renderDiff } from "../../src/cli/output/diff.ts";
import { runDiff, type DiffReport } from "../../src/operations/diff/index.ts";
import { server, type TestDatabase } from "../support/servers.ts";
import { TestRepository } from "../matrix/support.ts";

let repository: TestRepository;
let source: TestDatabase;
let first = "";

beforeAll(async () => {
  const pg = await server(18);
  repository = await TestRepository.create();
  source = await pg.createDatabase();
  // Some 2,000 blocks: four segments of 512.
  await source.psql(`
    CREATE TABLE orders (id int, note text);
    INSERT INTO orders SELECT i, repeat('x', 400) FROM generate_series(1, 36000) AS i;
    CREATE TABLE same (id int);
    INSERT INTO same VALUES (1), (2);
    CREATE TABLE gone (id int);
    INSERT INTO gone VALUES (3);
    CREATE TABLE renamed (id int);
    CREATE VIEW words AS SELECT note FROM orders;
    CREATE SEQUENCE tickets;
    SELECT lo_from_bytea(70001, 'one');`);
  ({ id: first } = await repository.backup(source.uri, { lineage: "diff" }));
});
afterAll(async () => {
  await source[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

const diff = (before: string, after: string): Promise<DiffReport> =>
  runDiff(repository.context(), { repository: repository.access, before, after });

test("diff of two restore points of an unchanged database finds nothing", async () => {
  const { id } = await repository.backup(source.uri, { lineage: "diff" });
  expect(await diff(first, id)).toMatchObject({
    schema: [],
    tables: [],
    unchangedTableCount: 4,
    sequences: [],
    largeObjects: { isChanged: false },
    warnings: [],
  });
});

test("diff tells definitions, rows, bytes, segments, sequences and large objects that changed", async () => {
  await source.psql(`
    UPDATE orders SET note = 'y' || substr(note, 2) WHERE id = 1;
    DROP TABLE gone;
    ALTER TABLE renamed RENAME TO young;
    CREATE TABLE added (id int PRIMARY KEY);
    INSERT INTO added VALUES (1);
    CREATE OR REPLACE VIEW words AS SELECT note, id FROM orders;
    SELECT nextval('tickets');
    SELECT lo_put(70001, 0, 'two');`);
  const { id } = await repository.backup(source.uri, { lineage: "diff" });
  const report = await diff(first, id);
  const byName = new Map(report.tables.map((table) => [table.name, table]));
  expect([...byName.keys()].toSorted()).toEqual([
    "public.added",
    "public.gone",
    "public.orders",
    "public.renamed → public.young",
  ]);
  const orders = byName.get("public.orders")!;
  expect(orders).toMatchObject({ before: { rowCount: 36000 }, after: { rowCount: 36000 } });
  // The row went from the first segment to the last one.
  expect(orders.segmentCount).toBeGreaterThanOrEqual(4);
  expect(orders.segmentsTouched).toBe(2);
  expect(byName.get("public.gone")).toMatchObject({ before: { rowCount: 1 }, after: null });
  expect(byName.get("public.added")).toMatchObject({ before: null, after: { rowCount: 1, rawBytes: 2 } });
  expect(report.unchangedTableCount).toBe(1);
  expect(report.sequences).toEqual([{ name: "public.tickets", before: "1, false", after: "1, true" }]);
  expect(report.largeObjects).toMatchObject({ isChanged: true, before: { count: 1 }, after: { count: 1 } });
  const changes = new Map(report.schema.map(({ name, change, text }) => [name, { change, text }]));
  expect([...changes].map(([name, { change }]) => `${change} ${name}`).toSorted()).toEqual([
    "added CONSTRAINT public.added added_pkey",
    "added TABLE public.added",
    "added TABLE public.young",
    "changed VIEW public.words",
    "removed TABLE public.gone",
    "removed TABLE public.renamed",
  ]);
  expect(changes.get("VIEW public.words")!.text).toContain(
    "- SELECT note\n+ SELECT note,\n+    id\n    FROM public.orders;",
  );
  const text = renderDiff(report);
  expect(text).toMatch(/^public\.orders +36,000 +36,000 .* 2 of \d+$/m);
  expect(text).toContain("\nVIEW public.words changed\n@@ ");
  expect((await diff(id, first)).warnings).toEqual(["the first restore point is the newer one"]);
});
