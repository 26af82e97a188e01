// selectEntries() against `pg_restore --list` of the stock tool with the same flags, on one archive of torture.sql.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Toc } from "../../src/archive/index.ts";
import { selectEntries, type RestoreOptions } from "../../src/restore/index.ts";
import { dumpArchive, openArchive, server, temporaryFolder, tortureDatabase } from "./support.ts";

const CASES: readonly (readonly [string[], RestoreOptions])[] = [
  [[], {}],
  [["-a"], { dataOnly: true }],
  [["-s"], { schemaOnly: true }],
  [["-C"], { create: true }],
  [["-x"], { noAcl: true }],
  [["-O"], { noOwner: true }],
  [["--no-comments"], { noComments: true }],
  [["--no-policies"], { noPolicies: true }],
  [["--no-publications"], { noPublications: true }],
  [["--no-subscriptions"], { noSubscriptions: true }],
  [["--no-security-labels"], { noSecurityLabels: true }],
  [["--no-data"], { noData: true }],
  [["--no-schema"], { noSchema: true }],
  [["--no-statistics"], { noStatistics: true }],
  [["--statistics-only"], { statisticsOnly: true }],
  [["--section=pre-data"], { sections: ["pre-data"] }],
  [["--section=data"], { sections: ["data"] }],
  [["--section=post-data", "--section=data"], { sections: ["post-data", "data"] }],
  [["-t", "parent"], { tables: ["parent"] }],
  [["-t", "parent", "-t", "child", "-n", "torture"], { tables: ["parent", "child"], schemas: ["torture"] }],
  [["-n", "torture"], { schemas: ["torture"] }],
  [["-n", "torture2", "-n", "public"], { schemas: ["torture2", "public"] }],
  [["-N", "torture", "-N", "many"], { excludeSchemas: ["torture", "many"] }],
  [["-N", "torture_ext"], { excludeSchemas: ["torture_ext"] }],
  [["-n", "torture_ext", "-t", "everything"], { schemas: ["torture_ext"], tables: ["everything"] }],
  [["-n", "torture", "-a"], { schemas: ["torture"], dataOnly: true }],
  [["-I", "parent_pkey"], { indexes: ["parent_pkey"] }],
  [["-P", "overloaded(integer)"], { functions: ["overloaded(integer)"] }],
  [["-T", "parent trg"], { triggers: ["parent trg"] }],
];

describe("selectEntries()", () => {
  const disposables = new AsyncDisposableStack();
  let file: string;
  let toc: Toc;
  let pgRestore: string;

  beforeAll(async () => {
    const pg = await server(18);
    const folder = disposables.use(await temporaryFolder());
    await using source = await tortureDatabase(pg);
    file = await dumpArchive(source, join(folder.path, "torture.dump"), ["--statistics"]);
    await using archive = await openArchive(file);
    ({ toc } = archive.contents);
    ({ pgRestore } = pg.tools);
  });

  afterAll(() => disposables.disposeAsync());

  test.each(CASES)("chooses what pg_restore lists with %j", (flags, options) => {
    const listing = execFileSync(pgRestore, ["-l", ...flags, file], { maxBuffer: 1 << 28 }).toString("latin1");
    const listed = listing
      .split("\n")
      .filter((line) => /^\d/.test(line))
      .map((line) => Number.parseInt(line, 10));
    const { ordered, wanted } = selectEntries(toc, options);
    expect(ordered.filter((entry) => wanted.has(entry.dumpId)).map((entry) => entry.dumpId)).toEqual(listed);
  });

  test("chooses in the order of a list", () => {
    const listing = execFileSync(pgRestore, ["-l", file], { maxBuffer: 1 << 28 }).toString();
    const useList = listing
      .split("\n")
      .filter((_, index) => index % 3 !== 0)
      .toReversed()
      .join("\n");
    const { ordered, wanted } = selectEntries(toc, { useList });
    const expected = useList
      .split("\n")
      .filter((line) => /^\d/.test(line))
      .map((line) => Number.parseInt(line, 10));
    expect(ordered.filter((entry) => wanted.has(entry.dumpId)).map((entry) => entry.dumpId)).toEqual(expected);
  });
});
