// `cairn backup --cluster` on a server with hostile names, a database that cannot be backed up, and some that are not to be.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, test } from "vitest";

import { runClusterBackup, type ClusterReceipt } from "../../src/operations/backup-cluster/index.ts";
import { globalsText } from "../../src/globals/index.ts";
import { runShow } from "../../src/operations/show/index.ts";
import { TestRepository } from "../matrix/support.ts";
import { ownServer, quoteIdentifier, type OwnServer } from "../support/servers.ts";
import { clusterSettings, ownGlobals } from "./support.ts";

const HOSTILE = `hostile "base"\n'x' 🙂`;

let pg: OwnServer;
let repository: TestRepository;
let receipt: ClusterReceipt;

beforeAll(async () => {
  [pg, repository] = await Promise.all([ownServer(18), TestRepository.create()]);
  for (const name of [HOSTILE, "closed", "scratch_1", "Kept"]) await pg.createDatabase(name);
  await pg.psql(
    HOSTILE,
    "CREATE TABLE t AS SELECT 1 AS id; CREATE ROLE app PASSWORD 'secret'; ALTER TABLE t OWNER TO app",
  );
  await pg.psql(
    "postgres",
    `ALTER DATABASE closed ALLOW_CONNECTIONS false; ALTER ROLE app SET search_path = "a, b", public;
     GRANT pg_monitor TO app WITH ADMIN OPTION`,
  );
  receipt = await backUp(["scratch_*", "nowhere?"]);
});

afterAll(async () => {
  await repository?.[Symbol.asyncDispose]();
  await pg?.[Symbol.asyncDispose]();
});

/** The source names no database, as a server's does. */
function backUp(excludedDatabases: readonly string[]): Promise<ClusterReceipt> {
  const source = `postgresql://postgres@127.0.0.1:${pg.port}`;
  return runClusterBackup(repository.context(), clusterSettings(repository, source, { excludedDatabases }));
}

test("backup --cluster takes every database but template0, closed and excluded ones, each in its own lineage", async () => {
  expect(receipt).toMatchObject({ isComplete: true, rowCount: 1, globals: { roleCount: 2, passwords: "carried" } });
  expect(receipt.databases.map(({ databaseName }) => databaseName)).toEqual(["template1", "Kept", HOSTILE, "postgres"]);
  expect(receipt.databases.map((one) => one.receipt?.lineage)).toEqual(
    ["template1", "Kept", `hostile "base"\\x0a'x' 🙂`, "postgres"].map((name) => `${name}@127.0.0.1:${pg.port}`),
  );
  expect(receipt.leftOut.toSorted()).toEqual([
    "closed: it refuses connections",
    "scratch_1: --exclude-database names it",
    "template0: every server has it as it was made",
  ]);
  expect(receipt.warnings).toEqual(['--exclude-database "nowhere?" matches no database']);

  const listed = (await repository.list(`cluster:127.0.0.1:${pg.port}`)).restorePoints;
  expect(listed).toMatchObject([{ id: receipt.id, rowCount: 1, cluster: { databaseCount: 4, failedDatabases: [] } }]);
  const settings = { repository: repository.access, reference: receipt.id, tables: [] };
  const shown = await runShow(repository.context(), { ...settings, what: "summary" });
  expect(shown).toMatchObject({
    cluster: { members: receipt.databases.map((one) => ({ restorePointId: one.receipt?.id })) },
  });
  const globals = await runShow(repository.context(), { ...settings, what: "globals" });
  expect(globals).toMatchObject({ text: expect.stringContaining("PASSWORD 'SCRAM-SHA-256$") as string });
  await expect(runShow(repository.context(), { ...settings, what: "list" })).rejects.toMatchObject({ code: "usage" });
  expect(await repository.verify(receipt.id)).toMatchObject({ isIntact: true, rowCount: 1, damage: [] });
  await expect(repository.export(receipt.id, "x.dump")).rejects.toThrow("of a whole server");
  expect(JSON.stringify([receipt, repository.events, listed, shown])).not.toContain("SCRAM");
});

test("cairn-rescue.mjs lists a cluster restore point and prints its roles as SQL", async () => {
  const rescue = async (...words: string[]): Promise<string> => {
    const env = { ...process.env, CAIRN_PASSPHRASE: repository.access.givenPassphrase ?? "" };
    const cwd = repository.access.location;
    const done = await promisify(execFile)(process.execPath, ["cairn-rescue.mjs", ...words], { cwd, env });
    return done.stdout;
  };
  expect(await rescue("list")).toMatch(
    new RegExp(`${receipt.id} .* whole server: ${receipt.databases[0]?.receipt?.id} `),
  );
  await expect(rescue("export", receipt.id, "x.dump")).rejects.toThrow("it is of a whole server");
  const sql = await rescue("globals", receipt.id);
  await pg.psql("postgres", sql.replaceAll('"app"', '"rescued"'));
  const copied =
    "SELECT pg_authid.rolpassword, rolconfig, pg_has_role(oid, 'pg_monitor', 'USAGE WITH ADMIN OPTION') FROM pg_authid JOIN pg_roles USING (oid)";
  const [app, rescued] = await Promise.all(
    ["app", "rescued"].map((role) => pg.psql("postgres", `${copied} WHERE pg_roles.rolname = '${role}'`)),
  );
  expect(app).toMatch(/^SCRAM-SHA-256\$.*\|\{"search_path=\\"a, b\\", public"\}\|t$/);
  expect(rescued).toBe(app);
  await pg.psql("postgres", "DROP ROLE rescued");
});

test("backup --cluster goes on after a database that fails, and is not complete", async () => {
  await pg.psql(HOSTILE, "CREATE TABLE forbidden (id int); ALTER TABLE forbidden ENABLE ROW LEVEL SECURITY");
  await pg.psql("Kept", "CREATE TABLE kept AS SELECT generate_series(1, 10) AS id");
  await pg.psql("postgres", "CREATE ROLE weak LOGIN; GRANT pg_read_all_data TO weak");
  const settings = clusterSettings(repository, pg.uri("postgres", { user: "weak" }), {
    lineage: "prod",
    excludedDatabases: ["template1", "scratch*"],
  });
  const incomplete = await runClusterBackup(repository.context(), settings);
  expect(incomplete).toMatchObject({ isComplete: false, rowCount: 10, lineage: "prod" });
  expect(incomplete.globals.passwords).toBe("carried"); // pg_read_all_data reads pg_authid too
  const failed = incomplete.databases.filter((one) => one.receipt === null);
  expect(failed).toMatchObject([{ databaseName: HOSTILE, error: { code: "preflight_failed" } }]);
  expect(incomplete.databases.find(({ databaseName }) => databaseName === "Kept")?.receipt?.lineage).toBe("Kept@prod");
  const [listed] = (await repository.list("prod")).restorePoints;
  expect(listed?.cluster).toEqual({ databaseCount: 3, failedDatabases: [HOSTILE] });
});

test("globals with names that are no UTF-8 keep their bytes, as pg_dumpall's text does", async () => {
  await using latin = await pg.createDatabase("latin", { encoding: "LATIN1", locale: "C" });
  await latin.psql(Buffer.from(`SET client_encoding TO LATIN1; CREATE ROLE "caf\u00e9" CONNECTION LIMIT 4`, "latin1"));
  const globals = await ownGlobals(latin.uri);
  expect(globals).toMatchObject({ clientEncoding: "LATIN1", textEncoding: "latin1" });
  const text = globalsText(globals, { restrictKey: "KEY" });
  const flags = ["--globals-only", "--restrict-key=KEY", "-d", pg.uri("postgres"), "-l", "latin"];
  const stock = await promisify(execFile)(pg.tools.pgDumpall, flags, { encoding: "latin1" });
  expect(text).toBe(stock.stdout);
  expect(text).toContain('CREATE ROLE "caf\u00e9";\n');
  await latin.psql(Buffer.from(`SET client_encoding TO LATIN1; DROP ROLE "caf\u00e9"`, "latin1"));
});

test('backup --cluster of a server without "postgres" begins in template1; of nothing at all it says so', async () => {
  await pg.psql("template1", "DROP DATABASE postgres");
  const { databases } = await backUp(["scratch*", '"Kept"', quoteIdentifier(HOSTILE)]);
  expect(databases.map(({ databaseName }) => databaseName)).toEqual(["template1"]);
  await expect(backUp(["*"])).rejects.toThrow("no database of the server is to be backed up");
});
