// From an old server into 18: the backup is made on servers 13 to 17 with the pg_dump of their own, and restored by us
// into 18. Only differences that the official upgrade makes too may remain.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { officialExceptions } from "../support/comparison-exceptions.ts";
import { compareDatabases, formatDifferences } from "../support/compare.ts";
import { hasSampleData, loadDatabase, SAMPLE_NAMES } from "../support/databases.ts";
import { server, type Major, type TestDatabase, type TestServer } from "../support/servers.ts";
import { countCombinations, isFullMatrix, pgDumpMajor, TestRepository, type DatabaseName } from "./support.ts";

const OLD_MAJORS: readonly Major[] = isFullMatrix ? [13, 14, 15, 16, 17] : [13, 15, 17];

function databasesOf(major: Major): readonly DatabaseName[] {
  return hasSampleData && (isFullMatrix || major === 15) ? ["torture", ...SAMPLE_NAMES] : ["torture"];
}

const count = countCombinations("upgrade");
let repository: TestRepository;
let target: TestServer;
let roles: TestDatabase;

beforeAll(async () => {
  repository = await TestRepository.create();
  target = await server(18);
  roles = await loadDatabase(target, "torture"); // its roles belong to the server: they must be there
});
afterAll(async () => {
  await roles[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

describe.each(OLD_MAJORS)("backup on %i, restore into 18", (major) => {
  test.each(databasesOf(major))("%s is equal but for what the official upgrade changes", async (name) => {
    await using source = await loadDatabase(await server(major), name);
    const receipt = await repository.backup(source.uri, { lineage: `${name} ${major}` });
    await using copy = await target.createDatabase();
    const report = await repository.restore(receipt.id, copy.uri);
    expect(report.entriesFailed).toEqual([]);
    expect(report).toMatchObject({ isComplete: true, rowCount: receipt.rowCount });
    const trip = { sourceMajor: major, targetMajor: 18, toolsMajor: pgDumpMajor(receipt) } as const;
    const comparison = await compareDatabases(source, copy, { exceptions: officialExceptions(trip) });
    expect(formatDifferences(comparison.differences)).toBe("");
    expect(comparison.counts.schema).toBeGreaterThan(name === "torture" ? 700 : 10);
    count(name, `${major} → 18`, "restore --jobs 2");
  });
});
