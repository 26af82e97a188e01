// Every sample database backed up twice on a server with WAL summaries: the second restore point, most of it taken over and
// nothing of a table that changed, restores equal to the source as it was then. Torture in npm test, the others where they
// are at hand.

import { execFileSync } from "node:child_process";

import { afterAll, beforeAll, expect, test } from "vitest";

import { TestRepository } from "../matrix/support.ts";
import { compareDatabases, formatDifferences } from "../support/compare.ts";
import { officialExceptions } from "../support/comparison-exceptions.ts";
import { hasSampleData, loadDatabase, SAMPLE_NAMES } from "../support/databases.ts";
import type { OwnServer } from "../support/servers.ts";
import { IncrementalBench, READING } from "./support.ts";

const MAJOR = 18;
let pg: OwnServer;

beforeAll(async () => {
  pg = await IncrementalBench.startServer(MAJOR);
});
afterAll(async () => pg?.[Symbol.asyncDispose]());

test.each([...(hasSampleData ? SAMPLE_NAMES : []), "torture" as const])(
  "an incremental restore point of %s restores equal",
  async (name) => {
    await using source = await loadDatabase(pg, name);
    await using repository = await TestRepository.create();
    execFileSync(pg.tools.psql, ["-X", "-q", "-d", source.uri, "-c", "VACUUM", "-c", "CHECKPOINT"], { env: {} });
    await repository.backup(source.uri, { reading: READING });
    await source.psql("CREATE TABLE meanwhile AS SELECT i FROM generate_series(1, 1000) AS i");
    const { id, reading, rowCount } = await repository.backup(source.uri, { reading: READING });
    expect(reading).toMatchObject({ allReadBecause: null, noParentBecause: null });
    expect(reading.takenOverSegmentCount).toBeGreaterThan(name === "torture" ? 30 : 5);
    expect(reading.readSegmentCount).toBeGreaterThan(0);

    await using copy = await pg.createDatabase();
    const report = await repository.restore(id, copy.uri);
    expect(report).toMatchObject({ isComplete: true, rowCount, entriesFailed: [] });
    const exceptions =
      name === "torture" ? officialExceptions({ sourceMajor: MAJOR, targetMajor: MAJOR, toolsMajor: MAJOR }) : [];
    const { differences, counts } = await compareDatabases(source, copy, { exceptions });
    expect(formatDifferences(differences)).toBe("");
    expect(counts.rows).toBeGreaterThan(9);
  },
);
