// Tests of every sample database on the majors that a file names: backed up into an encrypted repository with the
// pg_dump that is chosen by itself, restored by us and, from an export, by the stock pg_restore, and compared with the
// source each time. Two files share the majors, so that they run side by side.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { officialExceptions } from "../support/comparison-exceptions.ts";
import { compareDatabases, formatDifferences } from "../support/compare.ts";
import { loadDatabase } from "../support/databases.ts";
import { clientTools, server, type Major, type TestDatabase, type TestServer } from "../support/servers.ts";
import type { BackupReceipt } from "../../src/operations/backup/index.ts";
import { expectAdaptations, expectedAdaptations } from "./adaptations.ts";
import {
  countCombinations,
  databasesFor,
  type DatabaseName,
  isFullMatrix,
  isNamedError,
  lostRace,
  pgDumpMajor,
  RESTORE_ATTEMPTS_MAX,
  stockRestore,
  TestRepository,
} from "./support.ts";

interface Export {
  readonly archiveVersion: string | null;
  readonly toolsMajor: Major;
  readonly jobs: number;
}

/** Archives as they come and in older versions for older tools; each is restored by the stock pg_restore. */
function exportsOf(major: Major, name: DatabaseName): Export[] {
  const own = major === 14 ? 15 : major === 16 ? 17 : major;
  const exports: Export[] = [
    { archiveVersion: null, toolsMajor: own, jobs: 1 },
    { archiveVersion: null, toolsMajor: own, jobs: 4 },
  ];
  if (name !== "torture" && !isFullMatrix) return exports;
  if (own >= 17) exports.push({ archiveVersion: "1.14", toolsMajor: 15, jobs: isFullMatrix ? 1 : 4 });
  if (own === 18) exports.push({ archiveVersion: "1.15", toolsMajor: 17, jobs: 4 });
  return exports;
}

/** Defines the tests. */
export function testRoundTrips(majors: readonly Major[]): void {
  const count = countCombinations(`round trip on ${majors.join(", ")}`);
  let repository: TestRepository;

  beforeAll(async () => {
    repository = await TestRepository.create();
  });
  afterAll(() => repository[Symbol.asyncDispose]());

  describe.each(majors)("PostgreSQL %i", (major) => {
    describe.each(databasesFor(major))("%s", (name) => {
      let pg: TestServer;
      let source: TestDatabase;
      let receipt: BackupReceipt;

      beforeAll(async () => {
        pg = await server(major);
        source = await loadDatabase(pg, name);
        receipt = await repository.backup(source.uri, { lineage: `${name} ${major}` });
      });
      afterAll(() => source[Symbol.asyncDispose]());

      async function expectEqual(copy: TestDatabase): Promise<void> {
        const trip = { sourceMajor: major, targetMajor: major, toolsMajor: pgDumpMajor(receipt) };
        const exceptions = name === "torture" ? officialExceptions(trip) : [];
        const comparison = await compareDatabases(source, copy, { exceptions });
        expect(formatDifferences(comparison.differences)).toBe("");
        expect(comparison.counts.schema).toBeGreaterThan(name === "torture" ? 700 : 10);
        expect(comparison.counts.rows).toBeGreaterThan(name === "torture" ? 150 : 9);
      }

      test("backup takes the major's own pg_dump, or the nearest newer one", async () => {
        expect(pgDumpMajor(receipt)).toBe((await clientTools(major)).major);
        expect(receipt.warnings.some((warning) => warning.includes("reads a server of version"))).toBe(
          pgDumpMajor(receipt) !== major,
        );
      });

      test("restore --jobs 2 gives an equal database", async () => {
        await using copy = await pg.createDatabase();
        const report = await repository.restore(receipt.id, copy.uri);
        expect(report.entriesFailed).toEqual([]);
        expect(report).toMatchObject({ isComplete: true, rowCount: receipt.rowCount });
        expectAdaptations(report.adaptations, expectedAdaptations(name, major, pgDumpMajor(receipt)));
        await expectEqual(copy);
        count(name, String(major), "restore --jobs 2");
      });

      test.each(exportsOf(major, name))(
        "export (archive version $archiveVersion) restores with pg_restore $toolsMajor -j$jobs",
        async ({ archiveVersion, toolsMajor, jobs }) => {
          const tools = await clientTools(toolsMajor);
          const fileName = `${name}-${major}-${archiveVersion ?? "own"}-${jobs}`;
          const report = await repository.export(receipt.id, fileName, { archiveVersion });
          expect(report.rowCount).toBe(receipt.rowCount);
          for (let attempt = 1; ; attempt += 1) {
            await using copy = await pg.createDatabase();
            const { status, errors } = await stockRestore(tools, report.file, copy.uri, ["-j", String(jobs)]);
            if (attempt < RESTORE_ATTEMPTS_MAX && lostRace(errors, jobs, `${name} ${major}`)) continue;
            expect(errors.filter((error) => !isNamedError(error, major))).toEqual([]);
            expect(status).toBe(errors.length === 0 ? 0 : 1);
            await expectEqual(copy);
            break;
          }
          const path = `export ${report.archiveVersion} → pg_restore ${tools.major} -j${jobs}`;
          count(name, String(major), path);
        },
      );
    });
  });
}
