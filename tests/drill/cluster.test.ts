// Drills of whole servers: roles, tablespaces and every database on one throwaway server, in one report; what is planted in
// one database, or missing in the repository, is named with the database.

import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { runClusterBackup, type ClusterReceipt } from "../../src/operations/backup-cluster/index.ts";
import { renderDrill } from "../../src/cli/output/drill.ts";
import type { ClusterDrillReport } from "../../src/operations/drill/index.ts";
import { clusterSettings, globalsScript, makeOwnPlaces, ODD_ROLES, ODD_TABLESPACES } from "../cluster/support.ts";
import { TestRepository } from "../matrix/support.ts";
import { ownServer, quoteIdentifier, type OwnServer } from "../support/servers.ts";
import { drillServer } from "./support.ts";

const HOSTILE = `<b>"base"</b> 'x'`;
const [plain, lined] = [ODD_ROLES.plain, ODD_ROLES.lined].map(quoteIdentifier);
const space = quoteIdentifier(ODD_TABLESPACES.plain);

let pg: OwnServer;
let repository: TestRepository;
let receipt: ClusterReceipt;
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-drill-cluster-"));
  pg = await ownServer(18);
  repository = await TestRepository.create();
  await pg.psql("postgres", globalsScript(pg.major, await makeOwnPlaces(pg, 3), { hasLabel: false }));
  await pg.psql(
    "postgres",
    `CREATE DATABASE shop OWNER ${plain} TEMPLATE template0 CONNECTION LIMIT 7;
     CREATE DATABASE ${quoteIdentifier(HOSTILE)} OWNER ${lined} TEMPLATE template0 TABLESPACE ${space};
     ALTER DATABASE shop SET work_mem = '5MB';
     ALTER ROLE ALL SET log_min_duration_statement = '9s';
     CREATE TABLE notes AS SELECT 1 AS id`,
  );
  const tables = `
    CREATE TABLE goods (id serial PRIMARY KEY, name text) TABLESPACE ${space};
    INSERT INTO goods (name) SELECT 'thing ' || n FROM generate_series(1, 1000) AS n;
    ALTER TABLE goods OWNER TO ${plain};
    GRANT SELECT ON goods TO PUBLIC;`;
  await Promise.all(["shop", HOSTILE].map((name) => pg.psql(name, tables)));
  receipt = await runClusterBackup(repository.context(), clusterSettings(repository, pg.uri("postgres")));
});
afterAll(async () => {
  await pg[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function findings({ databases, globals }: ClusterDrillReport): string[] {
  const ofDatabases = databases.flatMap(({ databaseName, error, report }) => {
    const found = (report?.differences ?? []).map(({ name, what }) => `${databaseName}: ${name} ${what}`);
    return error === null ? found : [...found, `${databaseName}: ${error}`];
  });
  return [...globals.differences.map(({ name, what }) => `${name} ${what}`), ...ofDatabases];
}

test("drill of a whole server restores all of it, finds it equal, and leaves one evidence", async () => {
  const report = await drillServer(repository, receipt.id, { evidence: folder });
  expect(findings(report)).toEqual([]);
  expect(report.outcome).toBe("passed");
  expect(report.databases.map(({ databaseName }) => databaseName).toSorted()).toEqual(
    [HOSTILE, "postgres", "shop", "template1"].toSorted(),
  );
  expect(report.globals).toMatchObject({ tablespaceCount: 3, notCompared: [] });
  expect(report.globals.roleCount).toBeGreaterThan(8);
  expect(report.rowCount).toBe(2001);
  const page = await readFile(report.evidence!.html, "utf8");
  expect(page).toContain("Database &lt;b&gt;&quot;base&quot;&lt;/b&gt; &#39;x&#39;");
  expect(page).not.toContain("<b>");
  expect((await readdir(folder)).length).toBe(2);
  const { restorePoints } = await repository.list();
  expect(restorePoints.map(({ drillOutcome }) => drillOutcome)).toEqual(restorePoints.map(() => "passed"));
  expect(renderDrill(report)).toMatch(/the whole server of \S+ restores, and everything is equal/);
});

test("drill of a whole server names what is different with its database, and drills the rest", async () => {
  const report = await drillServer(repository, receipt.id, {
    plant: `
      DO $$ BEGIN IF current_database() = 'shop' THEN DELETE FROM goods WHERE id = 7; END IF; END $$;
      ALTER ROLE ${plain} CONNECTION LIMIT 9`,
  });
  expect(report.outcome).toBe("failed");
  expect(findings(report)).toEqual([
    expect.stringMatching(/^role "cluster_plain" is there already .* different there: CONNECTION LIMIT$/),
    "shop: table public.goods has 999 rows, not 1000",
  ]);
  const marks = (await repository.list()).restorePoints.filter(({ drillOutcome }) => drillOutcome === "failed");
  expect(marks.map(({ databaseName }) => databaseName).toSorted()).toEqual(["*", "shop"]);
});

test("drill of a whole server refuses what makes sense of one database only", async () => {
  for (const options of [{ on: pg.uri("postgres") }, { assertions: ["SELECT true"] }]) {
    await expect(drillServer(repository, receipt.id, options)).rejects.toMatchObject({ code: "usage" });
  }
});
