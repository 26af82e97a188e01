import { expect, test } from "vitest";
import { openLocalStorage } from "../storage/index.ts";
import { isOperatingError } from "../base/errors.ts";
import type { Repository, RestorePointSummary } from "./index.ts";
import { backUp, FACTS, smallRepository, temporaryFolder } from "./repository.fixture.ts";

const at = async (repository: Repository, snapshotAt: string, lineage = {}): Promise<RestorePointSummary> => {
  return await backUp(repository, { tables: {}, facts: { snapshotAt, lineage: { ...FACTS.lineage, ...lineage } } });
};

async function meant(repository: Repository, reference: string): Promise<string> {
  try {
    return await repository.resolve(reference);
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    return `${error.code} ${error.detail ?? ""}`;
  }
}

test("Repository.resolve() finds ids, prefixes, latest and moments", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  expect(await meant(repository, "latest")).toMatch(/restore_point_not_found .*no restore points yet/);
  const one = await at(repository, "2026-11-22T09:00:00Z");
  const two = await at(repository, "2026-11-22T11:00:00Z");
  expect(await meant(repository, "latest")).toBe(two.id);
  const other = await at(repository, "2026-11-22T12:00:00Z", { name: "crm@db2", databaseOid: 5, databaseName: "crm" });
  expect(await meant(repository, one.id)).toBe(one.id);
  expect(await meant(repository, "20261122T09")).toBe(one.id);
  expect(await meant(repository, "20261122")).toMatch(/ambiguous_reference They are/);
  expect(await meant(repository, "20270101")).toMatch(/restore_point_not_found/);
  expect(await meant(repository, "latest")).toMatch(/ambiguous_reference .*crm@db2, shop@db1/);
  expect(await meant(repository, "shop@db1@latest")).toBe(two.id);
  expect(await meant(repository, "crm@db2@latest")).toBe(other.id);
  expect(await meant(repository, "shop@db1@2026-11-22T10:00Z")).toBe(one.id);
  expect(await meant(repository, "shop@db1@2026-11-22T13:00+02:00")).toBe(two.id);
  expect(await meant(repository, "shop@db1@2026-11-22")).toBe(two.id);
  expect(await meant(repository, "shop@db1@2026-11-22T08:59Z")).toMatch(/restore_point_not_found/);
  expect(await meant(repository, "shop@latest")).toMatch(/restore_point_not_found .*crm@db2, shop@db1/);
  expect(await meant(repository, "nonsense")).toMatch(/restore_point_not_found/);
  const listed = await repository.restorePoints();
  expect(listed.map(({ id }) => id)).toEqual([other.id, two.id, one.id]);
  expect(await repository.restorePoints({ lineageName: "crm@db2" })).toEqual([other]);
});

test("Run.commit() gives ids after the newest of the lineage whatever the clock says", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  const first = await at(repository, "2030-01-01T00:00:00Z");
  const second = await at(repository, "2026-11-22T10:00:00Z");
  const third = await at(repository, "2026-11-22T10:00:00Z");
  expect([first.id, second.id, third.id].toSorted()).toEqual([first.id, second.id, third.id]);
  expect(await repository.resolve("latest")).toBe(third.id);
});

test("Repository.continueLineage() begins a new lineage for another database under the same name", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  const old = await at(repository, "2026-11-22T09:00:00Z");
  expect(await repository.continueLineage(FACTS.lineage)).toMatchObject({ parent: { id: old.id }, warnings: [] });
  const moved = { ...FACTS.lineage, systemIdentifier: "7000000000000000001" };
  const { parent, warnings } = await repository.continueLineage(moved);
  expect(parent).toBe(null);
  expect(warnings).toHaveLength(1);
  const fresh = await at(repository, "2026-11-22T10:00:00Z", moved);
  expect(fresh.parentId).toBe(null);
  const labels = (await repository.lineages()).map(({ label }) => label);
  expect(labels).toHaveLength(2);
  for (const label of labels) expect(label).toMatch(/^shop@db1#[0-9a-f]{8}$/);
  expect(await meant(repository, "latest")).toMatch(/ambiguous_reference/);
  expect(await meant(repository, "shop@db1@latest")).toBe(fresh.id);
  const found = await Promise.all(labels.map(async (label) => await repository.resolve(`${label}@latest`)));
  expect(found.toSorted()).toEqual([old.id, fresh.id]);
});
