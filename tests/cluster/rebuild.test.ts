// A server rebuilt with one command: roles, grants, tablespaces, settings and databases of a server with odd names, on an
// empty one. The stock pg_dumpall and pg_dump say whether both are the same.

import { readFile } from "node:fs/promises";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { runClusterBackup, type ClusterReceipt } from "../../src/operations/backup-cluster/index.ts";
import {
  runClusterRestore,
  type ClusterRestoreReport,
  type ClusterRestoreSettings,
} from "../../src/operations/restore-cluster/index.ts";
import { isFullMatrix, TestRepository } from "../matrix/support.ts";
import { compareDatabases, formatDifferences } from "../support/compare.ts";
import {
  MAJORS,
  ownServer,
  quoteIdentifier,
  quoteLiteral,
  runTool,
  server,
  type OwnServer,
} from "../support/servers.ts";
import { clusterSettings, globalsScript, makeOwnPlaces, ODD_ROLES, ODD_TABLESPACES, stockGlobals } from "./support.ts";

const HOSTILE = `hostile "base"\n'x' 🙂`;
const [plain, emoji, lined, keyword] = [ODD_ROLES.plain, ODD_ROLES.emoji, ODD_ROLES.lined, ODD_ROLES.keyword].map(
  quoteIdentifier,
);
const [space, oddSpace] = [ODD_TABLESPACES.plain, ODD_TABLESPACES.odd].map(quoteIdentifier);
const PATTERN = `pat "tern" 'x' \\ 🙂`;
const hostile = quoteIdentifier(HOSTILE);
const pattern = quoteIdentifier(PATTERN);

/** Three databases with all that a database can have besides its contents; and something in "postgres". */
async function fill(pg: OwnServer): Promise<void> {
  await pg.psql("postgres", globalsScript(pg.major, await makeOwnPlaces(pg, 3), { hasLabel: false }));
  await pg.psql(
    "postgres",
    `CREATE DATABASE shop OWNER ${plain} TEMPLATE template0 CONNECTION LIMIT 7;
     CREATE DATABASE ${hostile} OWNER ${lined} TEMPLATE template0 TABLESPACE ${oddSpace} ENCODING 'LATIN1' LOCALE 'C';
     CREATE DATABASE ${pattern} OWNER ${emoji} TEMPLATE template0 IS_TEMPLATE true;
     GRANT CREATE, CONNECT ON DATABASE shop TO ${keyword} WITH GRANT OPTION;
     REVOKE ALL ON DATABASE ${hostile} FROM PUBLIC;
     COMMENT ON DATABASE shop IS 'the shop''s';
     ALTER DATABASE shop SET work_mem = '5MB';
     ALTER DATABASE ${pattern} SET default_transaction_read_only = on;
     ALTER ROLE ${lined} IN DATABASE shop SET search_path = odd, "$user";
     ALTER DATABASE postgres SET work_mem = '6MB';
     ALTER ROLE ALL SET log_min_duration_statement = '9s';
     CREATE TABLE notes AS SELECT 1 AS id`,
  );
  const tables = `
    SET default_transaction_read_only = off;
    CREATE SCHEMA odd AUTHORIZATION ${lined};
    CREATE TABLE odd.goods (id serial PRIMARY KEY, name text DEFAULT 'x') TABLESPACE ${space};
    INSERT INTO odd.goods (name) SELECT 'thing ' || n FROM generate_series(1, 1000) AS n;
    ALTER TABLE odd.goods OWNER TO ${plain};
    GRANT SELECT, INSERT ON odd.goods TO ${keyword} WITH GRANT OPTION;
    GRANT SELECT ON odd.goods TO PUBLIC;
    ALTER DEFAULT PRIVILEGES FOR ROLE ${emoji} IN SCHEMA odd GRANT SELECT ON TABLES TO ${lined};
    CREATE POLICY own ON odd.goods TO ${lined} USING (id > 5);
    SELECT lo_from_bytea(0, 'large');`;
  await Promise.all(["shop", HOSTILE, PATTERN].map((name) => pg.psql(name, tables)));
}

function restore(
  repository: TestRepository,
  reference: string,
  settings: Partial<ClusterRestoreSettings> & Pick<ClusterRestoreSettings, "target">,
): Promise<ClusterRestoreReport> {
  return runClusterRestore(repository.context(), {
    repository: repository.access,
    reference,
    jobs: 2,
    allowsOlderServer: false,
    tablespaceMapping: {},
    ...settings,
  });
}

const majors = isFullMatrix ? MAJORS : ([15, 18] as const);

describe.each(majors)("PostgreSQL %i", (major) => {
  let source: OwnServer;
  let target: OwnServer;
  let repository: TestRepository;
  let receipt: ClusterReceipt;

  beforeAll(async () => {
    [source, target, repository] = await Promise.all([
      ownServer(major),
      ownServer(major, { settings: { log_statement: "all" } }),
      TestRepository.create(),
    ]);
    await fill(source);
    const backup = clusterSettings(repository, source.uri("postgres"), { lineage: "all" });
    receipt = await runClusterBackup(repository.context(), backup);
  });

  afterAll(async () => {
    await repository?.[Symbol.asyncDispose]();
    await source?.[Symbol.asyncDispose]();
    await target?.[Symbol.asyncDispose]();
  });

  test("restore --cluster rebuilds the server on an empty one", async () => {
    expect(receipt).toMatchObject({ isComplete: true, rowCount: 3001 });
    await makeOwnPlaces(target, 3);
    const report = await restore(repository, "all@latest", { target: target.uri("postgres") });
    expect(report.globals).toMatchObject({ failed: [], differences: [], adaptations: [] });
    expect(report.databases.map(({ error }) => error)).toEqual([null, null, null, null, null]);
    expect(report.databases.flatMap((database) => database.report?.entriesFailed ?? [])).toEqual([]);
    expect(report).toMatchObject({ isComplete: true, rowCount: 3001, restorePointId: receipt.id });
    expect(report.databases.map(({ databaseName, wasThere }) => [databaseName, wasThere])).toEqual([
      ["template1", true],
      [HOSTILE, false],
      [PATTERN, false],
      ["postgres", true],
      ["shop", false],
    ]);

    expect(await stockGlobals(target)).toBe(await stockGlobals(source));
    const settings = "SELECT setrole::regrole, setconfig FROM pg_db_role_setting WHERE setdatabase = 0 AND setrole = 0";
    expect(await target.psql("postgres", settings)).toBe(await source.psql("postgres", settings));
    for (const name of ["template1", HOSTILE, PATTERN, "postgres", "shop"]) {
      const [left, right] = [source, target].map((pg) => ({ server: pg, name })) as [never, never];
      const comparison = await compareDatabases(left, right, { databaseProperties: true });
      expect(formatDifferences(comparison.differences), name).toBe("");
      expect(comparison.counts.database).toBe(8);
      expect(comparison.counts.rows).toBe(name === "template1" ? 0 : 1);
    }
    const spaces = `SELECT t.spcname, count(*) FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace
      WHERE datname = ${quoteLiteral(HOSTILE)} GROUP BY 1`;
    expect(await target.psql("postgres", spaces)).toBe(`${ODD_TABLESPACES.odd}|1`);

    const told = JSON.stringify([report, receipt, repository.events]) + (await readFile(target.logFile, "utf8"));
    expect(told).toContain("CREATE DATABASE");
    expect(told).not.toMatch(/SCRAM-SHA-256|md5[0-9a-f]{32}/);
  });

  // The same on every major.
  if (major !== 18) return;

  test("restore --cluster refuses a server with something in a database of the cluster, before the first statement", async () => {
    const roles = await stockGlobals(target);
    await expect(restore(repository, "all@latest", { target: target.uri("postgres") })).rejects.toMatchObject({
      code: "target_not_empty",
      message: "4 databases of the target are not empty",
      detail: expect.stringContaining("\npostgres holds table notes\nshop holds ") as string,
    });
    expect(await stockGlobals(target)).toBe(roles);
  });

  test("restore --cluster to an older server needs to be told so", async () => {
    const older = (await server(15)).uri("postgres");
    await expect(restore(repository, receipt.id, { target: older })).rejects.toMatchObject({
      code: "usage",
      message: "the target (15) is older than the server that the data comes from (18)",
      hint: expect.stringContaining("--older-server") as string,
    });
  });

  test("restore and restore --cluster refuse one another's restore points", async () => {
    const shop = receipt.databases.find(({ databaseName }) => databaseName === "shop")?.receipt?.id ?? "";
    const uri = source.uri("shop");
    await expect(restore(repository, shop, { target: uri })).rejects.toThrow("is of one database");
    await expect(repository.restore(receipt.id, uri)).rejects.toThrow("is of a whole server");
    await expect(restore(repository, receipt.id, { target: uri })).rejects.toMatchObject({ code: "target_not_empty" });
  });

  const remaking = isFullMatrix ? ", and psql makes the server of it" : "";
  test(`export --format plain of a cluster holds each database as pg_restore --create prints it${remaking}`, async () => {
    await expect(repository.export(receipt.id, "all.sql", { format: "plain" })).rejects.toThrow("has a line end");
    // What is read-only by its own settings, psql cannot fill; nor can the stock tools.
    await source.psql("postgres", `ALTER DATABASE ${pattern} RESET default_transaction_read_only`);
    const backup = clusterSettings(repository, source.uri("postgres"), {
      excludedDatabases: ["hostile*", "template1"],
    });
    const cluster = await runClusterBackup(repository.context(), backup);
    const { file } = await repository.export(cluster.id, "all.sql", { format: "plain", restrictKey: "KEY" });
    const text = await readFile(file, "utf8");
    const member = cluster.databases.find(({ databaseName }) => databaseName === PATTERN)?.receipt?.id ?? "";
    const archive = await repository.export(member, "pattern.dump");
    const flags = ["--create", "--statistics", "--restrict-key=KEY", "--file=-"];
    const stock = await runTool(source.tools.pgRestore, [...flags, archive.file]);
    expect(text).toContain(`--\n-- Database "${PATTERN}" dump\n--\n\n${stock}`);
    if (!isFullMatrix) return;

    await using rebuilt = await ownServer(18);
    await makeOwnPlaces(rebuilt, 3);

    await rebuilt.psql("postgres", text.replace(/^CREATE ROLE postgres;\n/m, ""));
    expect(await stockGlobals(rebuilt)).toBe(await stockGlobals(source));
    for (const name of ["shop", PATTERN]) {
      const [left, right] = [source, rebuilt].map((pg) => ({ server: pg, name })) as [never, never];
      const { differences } = await compareDatabases(left, right, { databaseProperties: true });
      expect(formatDifferences(differences), name).toBe("");
    }
  });

  if (!isFullMatrix) return;

  test("restore --cluster --older-server goes from 18 to 14, and tells what was adapted", async () => {
    await using older = await ownServer(14);
    await makeOwnPlaces(older, 3);
    const report = await restore(repository, receipt.id, { target: older.uri("postgres"), allowsOlderServer: true });
    expect(report.globals.failed).toEqual([]);
    expect(report.globals.adaptations).toContain("privileges on parameter work_mem: left out, the target has none");
    expect(
      report.globals.adaptations.filter((text) => text.includes("INHERIT and SET options are left out")),
    ).toHaveLength(3);
    const adaptations = report.databases.flatMap((database) => database.report?.adaptations ?? []);
    expect(adaptations.filter((text) => text.endsWith(": LOCALE_PROVIDER = libc"))).toHaveLength(3);
    expect(report.databases.flatMap((database) => database.report?.entriesFailed ?? [])).toEqual([]);
    expect(report).toMatchObject({ isComplete: true, rowCount: 3001 });
  });
});
