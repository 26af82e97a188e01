// runRestore() against the stock pg_restore of the same major, from one archive, for each flag: the databases must be
// equal, and so must be the entries that failed.

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RestoreOptions } from "../../src/restore/index.ts";
import { lostRace, RESTORE_ATTEMPTS_MAX } from "../matrix/support.ts";
import type { TestDatabase } from "../support/servers.ts";
import {
  databaseText,
  dumpArchive,
  openArchive,
  restoreByStock,
  restoreByUs,
  server,
  temporaryFolder,
  tortureDatabase,
  type Major,
  type OpenArchive,
  type TestServer,
} from "./support.ts";

interface FlagCase {
  readonly flags: readonly string[];
  readonly options: RestoreOptions;
  /** Restored first into both databases by the stock tool, with these flags. */
  readonly before?: readonly string[];
  readonly since?: Major;
  /** Rows loaded by several connections or INSERTs come in another order of failing; compare failures only. */
  readonly archive?: "inserts";
  /** Only in the full matrix: its flags stand in another case too, or change little of what is done. */
  readonly isExtra?: true;
}

const CASES: readonly FlagCase[] = [
  { flags: [], options: {} },
  { flags: ["-j", "2"], options: { jobs: 2 } },
  { flags: ["-j", "4"], options: { jobs: 4 }, isExtra: true },
  { flags: ["-1"], options: { singleTransaction: true } },
  { flags: ["-e"], options: { exitOnError: true }, isExtra: true },
  { flags: ["--transaction-size=20"], options: { transactionSize: 20 }, since: 17, isExtra: true },
  { flags: ["--transaction-size=20", "-j2"], options: { transactionSize: 20, jobs: 2 }, since: 17 },
  { flags: ["-s"], options: { schemaOnly: true } },
  { flags: ["-a"], options: { dataOnly: true }, isExtra: true },
  { flags: ["-a"], options: { dataOnly: true }, before: ["-s"], isExtra: true },
  {
    flags: ["-a", "--disable-triggers"],
    options: { dataOnly: true, disableTriggers: true },
    before: ["-s"],
    isExtra: true,
  },
  { flags: ["-a", "-j2"], options: { dataOnly: true, jobs: 2 }, before: ["--section=pre-data"] },
  { flags: ["-c"], options: { clean: true }, isExtra: true },
  { flags: ["-c"], options: { clean: true }, before: [], isExtra: true },
  { flags: ["-c", "--if-exists"], options: { clean: true, ifExists: true }, isExtra: true },
  { flags: ["-c", "--if-exists"], options: { clean: true, ifExists: true }, before: [], isExtra: true },
  { flags: ["-c", "--if-exists", "-j2"], options: { clean: true, ifExists: true, jobs: 2 }, before: [] },
  { flags: ["-O"], options: { noOwner: true }, isExtra: true },
  { flags: ["-x"], options: { noAcl: true }, isExtra: true },
  { flags: ["-O", "-x", "--role=torture_owner"], options: { noOwner: true, noAcl: true, role: "torture_owner" } },
  { flags: ["--use-set-session-authorization"], options: { useSetSessionAuthorization: true }, isExtra: true },
  { flags: ["--use-set-session-authorization", "-j2"], options: { useSetSessionAuthorization: true, jobs: 2 } },
  {
    flags: ["--no-comments", "--no-security-labels", "--no-publications", "--no-subscriptions"],
    options: { noComments: true, noSecurityLabels: true, noPublications: true, noSubscriptions: true },
  },
  { flags: ["--no-tablespaces"], options: { noTablespaces: true }, isExtra: true },
  { flags: ["--no-table-access-method"], options: { noTableAccessMethod: true }, since: 15, isExtra: true },
  { flags: ["--section=pre-data"], options: { sections: ["pre-data"] }, isExtra: true },
  { flags: ["--section=data"], options: { sections: ["data"] }, before: ["--section=pre-data"], isExtra: true },
  {
    flags: ["--section=post-data"],
    options: { sections: ["post-data"] },
    before: ["--section=pre-data"],
    isExtra: true,
  },
  {
    flags: ["--section=pre-data", "--section=data", "-j2"],
    options: { sections: ["pre-data", "data"], jobs: 2 },
    isExtra: true,
  },
  { flags: ["-n", "torture2"], options: { schemas: ["torture2"] } },
  { flags: ["-n", "torture", "-n", "public"], options: { schemas: ["torture", "public"] }, isExtra: true },
  { flags: ["-N", "torture"], options: { excludeSchemas: ["torture"] }, isExtra: true },
  { flags: ["-t", "parent", "-t", "child"], options: { tables: ["parent", "child"] }, before: ["-s"] },
  { flags: ["-t", "parent", "-t", "child"], options: { tables: ["parent", "child"] }, isExtra: true },
  {
    flags: ["-I", "parent_pkey", "-P", "f_add(integer, integer)"],
    options: { indexes: ["parent_pkey"], functions: ["f_add(integer, integer)"] },
  },
  {
    flags: ["--no-data-for-failed-tables"],
    options: { noDataForFailedTables: true },
    before: ["-t", "parent", "-t", "child"],
    isExtra: true,
  },
  {
    flags: ["--no-data-for-failed-tables", "-j2"],
    options: { noDataForFailedTables: true, jobs: 2 },
    before: ["-t", "parent"],
  },
  { flags: ["--enable-row-security"], options: { enableRowSecurity: true }, isExtra: true },
  { flags: ["--no-policies", "--no-data"], options: { noPolicies: true, noData: true }, since: 18 },
  { flags: ["--statistics-only"], options: { statisticsOnly: true }, before: ["-s"], since: 18 },
  { flags: ["--no-statistics", "-j2"], options: { noStatistics: true, jobs: 2 }, since: 18 },
  { flags: [], options: {}, archive: "inserts", isExtra: true },
  { flags: ["-j2"], options: { jobs: 2 }, archive: "inserts" },
];

/** The grant on schema torture lasts a second longer before it is committed. */
const SLOW_SCHEMA_GRANT = `
  CREATE FUNCTION public.wait() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN IF current_query() ~ 'ON SCHEMA torture ' THEN PERFORM pg_sleep(1); END IF; END $$;
  CREATE EVENT TRIGGER wait ON ddl_command_end WHEN TAG IN ('GRANT') EXECUTE FUNCTION public.wait();`;

/** A new database, restored into by the stock tool, and what came of it; once more where it lost a race with itself. */
async function stockRestored(
  pg: TestServer,
  file: string,
  { flags, before, options }: FlagCase,
): Promise<{ stock: TestDatabase; theirs: Awaited<ReturnType<typeof restoreByStock>> }> {
  for (let attempt = 1; ; attempt += 1) {
    const stock = await pg.createDatabase();
    if (before !== undefined) await restoreByStock(pg, stock.name, file, before);
    const theirs = await restoreByStock(pg, stock.name, file, flags);
    if (attempt === RESTORE_ATTEMPTS_MAX || !lostRace(theirs.errors, options.jobs ?? 1, flags.join(" ")))
      return { stock, theirs };
    await stock[Symbol.asyncDispose]();
  }
}

const isFullMatrix = process.env["CAIRN_TEST_MATRIX"] === "full";
const MAJORS: readonly Major[] = isFullMatrix ? [15, 17, 18] : [18];

describe.each(MAJORS)("runRestore() into %i equals pg_restore", (major) => {
  let pg: TestServer;
  const archives: Record<string, OpenArchive> = {};
  const disposables = new AsyncDisposableStack();

  beforeAll(async () => {
    pg = await server(major);
    const folder = disposables.use(await temporaryFolder());
    await using source = await tortureDatabase(pg);
    const statistics = major >= 18 ? ["--statistics"] : [];
    const file = await dumpArchive(source, join(folder.path, "torture.dump"), statistics);
    archives["copy"] = disposables.use(await openArchive(file));
    const inserts = await dumpArchive(source, join(folder.path, "inserts.dump"), ["--inserts", "--rows-per-insert=10"]);
    archives["inserts"] = disposables.use(await openArchive(inserts));
  });

  afterAll(() => disposables.disposeAsync());

  const cases = CASES.filter((each) => (each.since ?? 13) <= major && (isFullMatrix || each.isExtra !== true));
  test.each(cases)("with $flags after $before, $archive", async (flagCase) => {
    const { options, before } = flagCase;
    const archive = archives[flagCase.archive ?? "copy"] as OpenArchive;
    await using ours = await pg.createDatabase();
    if (before !== undefined) await restoreByStock(pg, ours.name, archive.file, before);
    const { stock, theirs } = await stockRestored(pg, archive.file, flagCase);
    await using _ = stock;
    const own = await restoreByUs(pg, ours.name, archive, options);
    expect(own.failedIds).toEqual(theirs.failedIds);
    expect(own.result.isComplete).toBe(theirs.status === 0);
    const [expected, actual] = await Promise.all([stock, ours].map((database) => databaseText(pg, database.name)));
    expect(actual?.schema === expected?.schema || actual?.schema).toBe(true);
    expect(actual?.content === expected?.content).toBe(true);
  });

  test("jobs wait for the grant on a schema before grants by its grantees, as pg_restore -j does not", async () => {
    const archive = archives["copy"] as OpenArchive;
    await using stock = await pg.createDatabase();
    await using ours = await pg.createDatabase();
    for (const database of [stock, ours]) await database.psql(SLOW_SCHEMA_GRANT);
    const theirs = await restoreByStock(pg, stock.name, archive.file, ["-j2"]);
    expect(lostRace(theirs.errors, 2, "-j2, provoked")).toBe(true);
    const own = await restoreByUs(pg, ours.name, archive, { jobs: 2 });
    expect(own.failedIds).toEqual([]);
  });
});
