// A cluster restored onto a server that has a database of it already: what is not applied is in the report.

import { expect, test } from "vitest";

import { runClusterBackup } from "../../src/operations/backup-cluster/index.ts";
import { runClusterRestore } from "../../src/operations/restore-cluster/index.ts";
import { TestRepository } from "../matrix/support.ts";
import { ownServer } from "../support/servers.ts";
import { clusterSettings } from "./support.ts";

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
  const report = await runClusterRestore(repository.context(), {
    repository: repository.access,
    reference: id,
    target: source,
    jobs: 1,
    allowsOlderServer: false,
    tablespaceMapping: {},
  });
  expect(report.isComplete).toBe(true);
  expect(report.globals.adaptations).toEqual([
    "1 role that may log in is made without a password: they were left out of the backup",
  ]);
  const shop = report.databases.find(({ databaseName }) => databaseName === "shop");
  expect(shop?.report?.adaptations).toEqual([
    "it was there: its owner, settings and privileges are kept, and those of the source not applied",
  ]);
});
