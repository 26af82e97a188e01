// Where only the newest pg_dump is installed: what pg_dump 18 writes of servers 13 to 17 is adapted when it is restored
// into the same old server, each change is listed, and the database is equal but for the named exceptions.

import { expect, test } from "vitest";

import { officialExceptions } from "../support/comparison-exceptions.ts";
import { compareDatabases, formatDifferences } from "../support/compare.ts";
import { loadDatabase } from "../support/databases.ts";
import { clientTools, server } from "../support/servers.ts";
import { expectAdaptations, expectedAdaptations } from "./adaptations.ts";
import { countCombinations, isFullMatrix, TestRepository } from "./support.ts";

const count = countCombinations("newer pg_dump");

test.each(isFullMatrix ? ([13, 14, 15, 16, 17] as const) : ([13, 17] as const))(
  "restore of what pg_dump 18 wrote of PostgreSQL %i adapts it to that server",
  async (major) => {
    const pg = await server(major);
    await using repository = await TestRepository.create();
    await using source = await loadDatabase(pg, "torture");
    for (const pgDump of isFullMatrix
      ? [(await clientTools(18)).pgDump, "bundled"]
      : [(await clientTools(18)).pgDump]) {
      const receipt = await repository.backup(source.uri, { pgDump, lineage: pgDump.slice(-8) });
      const pgDumpMajor = Number.parseInt(receipt.pgDump.version, 10) === 17 ? 17 : 18;
      await using copy = await pg.createDatabase();
      const report = await repository.restore(receipt.id, copy.uri);
      expect(report.entriesFailed).toEqual([]);
      expect(report).toMatchObject({ isComplete: true, rowCount: receipt.rowCount });
      expectAdaptations(report.adaptations, expectedAdaptations("torture", major, pgDumpMajor));
      const exceptions = officialExceptions({ sourceMajor: major, targetMajor: major, toolsMajor: pgDumpMajor });
      const comparison = await compareDatabases(source, copy, { exceptions });
      expect(formatDifferences(comparison.differences)).toBe("");
      count("torture", String(major), `pg_dump ${receipt.pgDump.version} → restore --jobs 2`);
    }
  },
);
