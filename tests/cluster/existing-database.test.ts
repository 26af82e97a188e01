// A cluster restored onto a server that has a database or roles of it already: what is not applied is in the report.

import { expect, test } from "vitest";

import { runClusterBackup } from "../../src/operations/backup-cluster/index.ts";
import { runClusterRestore, type ClusterRestoreReport } from "../../src/operations/restore-cluster/index.ts";
import { TestRepository } from "../matrix/support.ts";
import { ownServer, type OwnServer } from "../support/servers.ts";
import { clusterSettings } from "./support.ts";

async function restore(repository: TestRepository, reference: string, target: string): Promise<ClusterRestoreReport> {
  return await runClusterRestore(repository.context(), {
    repository: repository.access,
    reference,
    target,
    jobs: 1,
    allowsOlderServer: false,
    tablespaceMapping: {},
  });
}

test("an existing database keeps its owner and settings, and a role is made without its password: both are told", async () => {
  await using pg = await ownServer(18);
  await using repository = await TestRepository.create();
  await pg.psql("postgres", "CREATE ROLE app LOGIN PASSWORD 'x'; CREATE DATABASE shop OWNER app");
  await pg.psql("postgres", "ALTER DATABASE shop SET work_mem = '5MB'");
  const source = pg.uri("postgres");
  const backup = { ...clusterSettings(repository, source, { lineage: "all" }), withRolePasswords: false };
  const { id } = await runClusterBackup(repository.context(), backup);
  await pg.psql("postgres", "ALTER DATABASE shop RESET work_mem");
  await pg.psql("postgres", "ALTER DATABASE shop OWNER TO postgres; DROP ROLE app");
  const report = await restore(repository, id, source);
  expect(report.isComplete).toBe(true);
  expect(report.globals.adaptations).toEqual([
    "1 role that may log in is made without a password: they were left out of the backup",
  ]);
  const shop = report.databases.find(({ databaseName }) => databaseName === "shop");
  expect(shop?.report?.adaptations).toEqual([
    "it was there: its owner, settings and privileges are kept, and those of the source not applied",
  ]);
});

const ROLES = "CREATE ROLE team; CREATE ROLE lead; CREATE ROLE ann; CREATE ROLE bob; CREATE ROLE eve NOINHERIT;";
/** The same memberships by another grantor, with other options, and one that is gone. */
const GRANTS = `
  GRANT team TO lead WITH ADMIN OPTION;
  GRANT team TO ann WITH ADMIN OPTION;
  GRANT team TO eve;
  GRANT lead TO eve;
  SET ROLE lead; GRANT team TO bob; RESET ROLE;`;
const CHANGES = `
  REVOKE ADMIN OPTION FOR team FROM ann;
  REVOKE lead FROM eve;
  REVOKE team FROM bob GRANTED BY lead;
  GRANT team TO bob;`;

async function backUp(repository: TestRepository, pg: OwnServer): Promise<string> {
  const settings = clusterSettings(repository, pg.uri("postgres"), { lineage: `all ${pg.major}` });
  return (await runClusterBackup(repository.context(), settings)).id;
}

const different = (member: string, role: string, words: string): string =>
  `membership of "${member}" in "${role}" is there already and is kept as it is; different there: ${words}`;
const gone = 'membership of "eve" in "lead" is not there, and both roles are kept as they are';

test("memberships of roles that are there are kept, and what is different of them is told by name", async () => {
  await using older = await ownServer(15);
  await using newer = await ownServer(18);
  await using repository = await TestRepository.create();
  for (const pg of [older, newer]) await pg.psql("postgres", ROLES + GRANTS);
  const [olderId, newerId] = [await backUp(repository, older), await backUp(repository, newer)];
  for (const [id, pg] of [
    [olderId, older],
    [newerId, newer],
    [olderId, newer],
  ] as const) {
    expect((await restore(repository, id, pg.uri("postgres"))).globals.differences).toEqual([]);
  }

  for (const pg of [older, newer]) await pg.psql("postgres", CHANGES);
  await newer.psql("postgres", "GRANT team TO eve WITH INHERIT TRUE, SET FALSE");
  const told = async (id: string, pg: OwnServer): Promise<readonly string[]> => {
    const { globals, isComplete } = await restore(repository, id, pg.uri("postgres"));
    expect({ isComplete, failed: globals.failed }).toEqual({ isComplete: true, failed: [] });
    return globals.differences.toSorted();
  };
  const [admin, grantor] = [different("ann", "team", "ADMIN OPTION"), different("bob", "team", "grantor")];
  expect(await told(olderId, older)).toEqual([admin, grantor, gone].toSorted());
  const options = different("eve", "team", "INHERIT, SET");
  expect(await told(newerId, newer)).toEqual([admin, grantor, options, gone].toSorted());
  // Who granted it counts for nothing before 16.
  expect(await told(olderId, newer)).toEqual([admin, options, gone].toSorted());
});
