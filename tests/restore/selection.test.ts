// selectEntries() against `pg_restore --list` of the stock tool with the same flags, on one archive.
// CAIRN_TEST_ARCHIVES: files made by pg_dump -Fc, separated by ":"; CAIRN_TEST_PG_RESTORE: the tool. Absent: skipped.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readToc, type Toc } from "../../src/archive/index.ts";
import { selectEntries, type RestoreOptions } from "../../src/restore/index.ts";

const archives = (process.env["CAIRN_TEST_ARCHIVES"] ?? "").split(":").filter((file) => file !== "");
const pgRestore = process.env["CAIRN_TEST_PG_RESTORE"] ?? "pg_restore";

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
  [["-n", "torture", "-a"], { schemas: ["torture"], dataOnly: true }],
  [["-I", "parent_pkey"], { indexes: ["parent_pkey"] }],
  [["-P", "overloaded(integer)"], { functions: ["overloaded(integer)"] }],
  [["-T", "parent trg"], { triggers: ["parent trg"] }],
];

describe.skipIf(archives.length === 0).each(archives)("selectEntries() on %s", (file) => {
  const load = async (): Promise<Toc> => (await readToc(readFileSync(file))).toc;

  test.each(CASES)("chooses what pg_restore lists with %j", async (flags, options) => {
    const toc = await load();
    const listing = execFileSync(pgRestore, ["-l", ...flags, file], { maxBuffer: 1 << 28 }).toString("latin1");
    const listed = listing
      .split("\n")
      .filter((line) => /^\d/.test(line))
      .map((line) => Number.parseInt(line, 10));
    const { ordered, wanted } = selectEntries(toc, options);
    expect(ordered.filter((entry) => wanted.has(entry.dumpId)).map((entry) => entry.dumpId)).toEqual(listed);
  });

  test("chooses in the order of a list", async () => {
    const toc = await load();
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
