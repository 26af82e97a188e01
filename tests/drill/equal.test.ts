// Drills of databases that are as they should be: everything is compared, and nothing is different.

import { afterAll, beforeAll, expect, test } from "vitest";

import { hasSampleData, loadDatabase } from "../support/databases.ts";
import { server, type Major } from "../support/servers.ts";
import { isFullMatrix, TestRepository } from "../matrix/support.ts";
import { drill, findingsOf } from "./support.ts";

const versions: readonly Major[] = [18, 15];

let repository: TestRepository;
beforeAll(async () => {
  repository = await TestRepository.create();
});
afterAll(() => repository[Symbol.asyncDispose]());

test.each(versions)("drill of torture on %i compares everything and finds it equal", async (major) => {
  const pg = await server(major);
  await using source = await loadDatabase(pg, "torture", { variables: { many: "5" } });
  const receipt = await repository.backup(source.uri, { lineage: `torture ${major}` });
  const report = await drill(repository, receipt.id);
  expect(findingsOf(report)).toEqual([]);
  expect(report.notCompared).toEqual([]);
  expect(report).toMatchObject({ outcome: "passed", rowCount: receipt.rowCount, databaseName: source.name });
  expect(report.server).toMatchObject({ kind: "throwaway", version: expect.stringMatching(`^${major}\\.`) });
  expect(report.compared.entries).toBeGreaterThan(800);
  expect(report.compared).toMatchObject({ largeObjects: receipt.largeObjectCount });
  expect(report.compared.tables).toBeGreaterThan(90);
  expect(report.compared.sequences).toBeGreaterThan(14);
  // Exceptions by name: the columns of children, and nothing else.
  const excused = report.excused.map(({ name }) => name);
  expect(excused.filter((name) => !/^TABLE (DATA )?torture\.inh_[cde]$/.test(name))).toEqual([]);
  const [listed] = (await repository.list(`torture ${major}`)).restorePoints;
  expect(listed).toMatchObject({ id: receipt.id, drillOutcome: "passed" });
});

test.skipIf(!hasSampleData).each(isFullMatrix ? versions : [18 as const])(
  "drill of pagila on %i finds everything equal",
  async (major) => {
    const pg = await server(major);
    await using source = await loadDatabase(pg, "pagila");
    const receipt = await repository.backup(source.uri, { lineage: `pagila ${major}` });
    const report = await drill(repository, receipt.id);
    expect(findingsOf(report)).toEqual([]);
    expect(report).toMatchObject({ outcome: "passed", notCompared: [], excused: [], rowCount: receipt.rowCount });
    expect(report.tables.every(({ isEqual }) => isEqual)).toBe(true);
  },
);
