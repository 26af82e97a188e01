// doctor on what surrounds a backup: locks, poolers, standbys, settings, rights that are missing on the catalog.

import { spawn } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";

import { serverSpawnOptions, giveToServerUser } from "../support/server-user.ts";
import { ownServer, pgbouncerProgram, runAsServerUser, server } from "../support/servers.ts";
import type { OwnServer, TestServer } from "../support/servers.ts";
import { codesOf, doctor, found, plainRole, sessionOn } from "./support.ts";

test.each([13, 18] as const)("doctor names who holds and who waits for a lock, on PostgreSQL %i", async (major) => {
  const pg = await server(major);
  await using database = await pg.createDatabase();
  await database.psql(
    `CREATE TABLE public."o'r\nders" (a int); CREATE TABLE public.queued (a int); CREATE TABLE public.other (a int)`,
  );
  await using holder = await sessionOn(database.uri);
  await holder.query(
    `BEGIN; LOCK TABLE public."o'r\nders" IN ACCESS EXCLUSIVE MODE; LOCK TABLE public.queued IN ACCESS SHARE MODE`,
  );
  await using waiter = await sessionOn(database.uri);
  const altering = waiter.query("ALTER TABLE public.queued ADD COLUMN secret_query int");
  const isWaiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'public.queued'::regclass";
  while ((await database.psql(isWaiting)) !== "1") await delay(10);

  const report = await doctor(database.uri, { selection: ["--lock-wait-timeout=5s"] });
  const locked = found(report, "table-locked");
  expect(locked).toHaveLength(1);
  expect(locked[0]!.message).toContain(`public."o'r\\nders" is locked ACCESS EXCLUSIVE by process`);
  expect(locked[0]!.message).toContain(`of role postgres, application "rival", in a transaction since 2`);
  expect(locked[0]!.detail).toContain("up to --lock-wait-timeout (5s)");
  expect(locked[0]!.hint).toContain(`pg_terminate_backend(${holder.connection.processId})`);
  const queued = found(report, "lock-queued");
  expect(queued[0]!.message).toContain("table public.queued is waited for");
  expect(queued[0]!.detail).toContain(`It waits for process ${holder.connection.processId}.`);
  expect(JSON.stringify(report)).not.toContain("secret_query");
  expect(codesOf(await doctor(database.uri, { selection: ["-t", "other"] }), "warning")).not.toContain("table-locked");
  await holder.query("ROLLBACK");
  await altering;
});

test.each([13, 18] as const)("doctor names prepared transactions and their locks, on PostgreSQL %i", async (major) => {
  const pg = await server(major);
  await using database = await pg.createDatabase();
  await database.psql(`CREATE TABLE public.t (a int)`);
  await database.psql(`BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'doctor''s'`);
  const report = await doctor(database.uri);
  await database.psql(`ROLLBACK PREPARED 'doctor''s'`);
  expect(found(report, "table-locked")[0]!.message).toContain(`by prepared transaction "doctor's", prepared at 2`);
  expect(found(report, "table-locked")[0]!.hint).toContain("ROLLBACK PREPARED 'doctor''s'");
  expect(found(report, "prepared-transaction")).toHaveLength(1);
});

test("doctor names transaction pooling and asks for the direct endpoint; session pooling is an information", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase();
  for (const [mode, poolSize] of [
    ["transaction", 1],
    ["transaction", 5],
    ["statement", 5],
    ["session", 5],
    ["session", 1],
  ] as const) {
    await using pooler = await startPooler(pg, mode, poolSize);
    const source = `postgresql://postgres@127.0.0.1:${pooler.port}/${database.name}`;
    const report = await doctor(source);
    if (mode === "session") {
      expect(codesOf(report, "blocking")).toEqual([]);
      expect(codesOf(report, "info")).toContain("pooler");
    } else {
      expect(report.isReady).toBe(false);
      const finding = report.findings[0]!;
      expect(finding.message).toContain(`${mode} pooling`);
      expect(finding.hint).toContain("direct endpoint");
    }
    // Nothing of doctor's own settings stays behind in the pooled server session.
    if (mode === "transaction" && poolSize === 1) {
      await using session = await sessionOn(source);
      expect((await session.query("SELECT current_setting('search_path')")).value).toBe('"$user", public');
    }
  }
  await using pooler = await startPooler(pg, "transaction", 1);
  const console = await doctor(`postgresql://postgres@127.0.0.1:${pooler.port}/pgbouncer`);
  expect(codesOf(console, "blocking")).toEqual(["pooler-console"]);
});

test("doctor without a pooler says nothing of one", async () => {
  const pg = await server(15);
  const report = await doctor(pg.uri("postgres"));
  expect(report.findings.filter(({ code }) => code.startsWith("pooler"))).toEqual([]);
});

test("doctor warns of settings that end or hinder a long backup", async () => {
  const settings = {
    max_connections: "10",
    max_wal_senders: "3",
    max_prepared_transactions: "0",
    max_locks_per_transaction: "10",
  };
  await using pg = await ownServer(15, { settings: { ...settings, old_snapshot_threshold: "1h" } });
  await using database = await pg.createDatabase();
  await database.psql(
    `DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE 'CREATE TABLE public.t' || i || ' ()'; END LOOP; END $$`,
  );
  await database.psql(`ALTER DATABASE ${database.name} SET statement_timeout = '5ms'`);
  const report = await doctor(database.uri);
  expect(codesOf(report, "warning")).toEqual(expect.arrayContaining(["old-snapshot-threshold", "lock-slots"]));
  expect(found(report, "lock-slots")[0]!.message).toMatch(/free slots for sure, and a backup locks 60 tables$/);
  expect(found(report, "lock-slots")[0]!.statements![0]).toMatch(/^ALTER SYSTEM SET max_locks_per_transaction = \d+;$/);
  expect(found(report, "time-limits")[0]!.message).toContain("statement_timeout = 5ms");
  expect(found(report, "unchecked")).toEqual([]);
});

test.each([13, 18] as const)("doctor on a standby of PostgreSQL %i", async (major) => {
  await using primary = await ownServer(major);
  await primary.psql(
    "postgres",
    `
    CREATE TABLE public.t (a int); CREATE UNLOGGED TABLE public."un'logged\n" (a int)`,
  );
  await using standby = await startStandby(primary, {
    hot_standby_feedback: "off",
    max_standby_streaming_delay: "30s",
  });
  const report = await doctor(standby.uri("postgres"));
  expect(codesOf(report, "blocking")).toEqual(["unlogged-on-standby"]);
  expect(found(report, "unlogged-on-standby")[0]!.message).toContain(`public."un'logged\\n"`);
  expect(codesOf(report, "warning")).toContain("standby-conflict");
  await expect(standby.psql("postgres", `TABLE public."un'logged\n"`)).rejects.toThrow("recovery");
  expect((await doctor(standby.uri("postgres"), { selection: ["--no-unlogged-table-data"] })).isReady).toBe(true);
  const deferrable = await doctor(standby.uri("postgres"), { selection: ["-T", "un*", "--serializable-deferrable"] });
  expect(codesOf(deferrable, "blocking")).toEqual(["standby-deferrable"]);
  await standby.psql("postgres", "ALTER SYSTEM SET hot_standby_feedback = on");
  await standby.psql("postgres", "SELECT pg_reload_conf()");
  while ((await standby.psql("postgres", "SHOW hot_standby_feedback")) !== "on") await delay(20);
  expect(codesOf(await doctor(standby.uri("postgres")), "warning")).not.toContain("standby-conflict");
});

test("doctor goes on where the role has no rights on the catalog", async () => {
  const pg = await server(15);
  await using database = await pg.createDatabase();
  await using _ = await plainRole(pg, database.name, "doctor nobody");
  await database.psql(`
    CREATE TABLE public.t (a int);
    REVOKE SELECT ON pg_catalog.pg_largeobject_metadata, pg_catalog.pg_settings, pg_catalog.pg_locks FROM PUBLIC`);
  const report = await doctor(pg.uri(database.name, { user: "doctor nobody" }));
  const subjects = found(report, "unchecked").map(({ message }) => message);
  expect(subjects).toEqual(
    expect.arrayContaining([expect.stringContaining("could not check privileges on large objects: permission denied")]),
  );
  expect(subjects).toEqual(
    expect.arrayContaining([expect.stringContaining("could not check locks: permission denied")]),
  );
  expect(codesOf(report, "blocking")).toEqual(["table-privilege"]);
});

test("doctor's connection failing is an error with a code", async () => {
  const pg = await server(15);
  await expect(doctor(`postgresql://postgres@127.0.0.1:1/x`)).rejects.toMatchObject({ code: "connection_failed" });
  await expect(doctor(pg.uri("no such database"))).rejects.toMatchObject({
    code: "connection_failed",
    sqlState: "3D000",
  });
  await expect(doctor(pg.uri("postgres", { user: "no such role" }))).rejects.toMatchObject({
    code: "connection_failed",
  });
  await expect(doctor(pg.uri("postgres"), { selection: ["--nonsense"] })).rejects.toMatchObject({ code: "usage" });
});

test("doctor says when no pg_dump fits", async () => {
  const pg = await server(18);
  const { tools } = await server(15);
  const report = await doctor(pg.uri("postgres"), { pgDump: tools.pgDump });
  expect(codesOf(report, "blocking")).toEqual(["pg-dump-missing"]);
  expect(report.pgDump).toBeNull();
});

interface Pooler extends AsyncDisposable {
  readonly port: number;
}

async function startPooler(pg: TestServer, mode: string, poolSize: number): Promise<Pooler> {
  const folder = await mkdtemp(join(tmpdir(), "cairn-pooler-"));
  await chmod(folder, 0o755);
  const port = await freePort();
  const file = join(folder, "pgbouncer.ini");
  await writeFile(
    file,
    `[databases]
* = host=127.0.0.1 port=${pg.port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
admin_users = postgres
pool_mode = ${mode}
default_pool_size = ${poolSize}
`,
  );
  await giveToServerUser(folder);
  const options = serverSpawnOptions();
  const child = spawn(await pgbouncerProgram(), [file], { ...options, stdio: ["ignore", "ignore", "pipe"] });
  let output = "";
  child.stderr.on("data", (bytes: Buffer) => (output += bytes.toString()));
  while (!/process up/.test(output)) {
    if (child.exitCode !== null) throw new Error(`pgbouncer did not start:\n${output}`);
    await delay(20);
  }
  return {
    port,
    async [Symbol.asyncDispose]() {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function startStandby(primary: OwnServer, settings: Record<string, string>): Promise<OwnServer> {
  return await ownServer(primary.major, {
    settings: { ...settings, primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres` },
    fillDataDirectory: async (dataDirectory) => {
      const source = `host=127.0.0.1 port=${primary.port} user=postgres`;
      await runAsServerUser(primary.tools.pgBasebackup, [
        "-D",
        dataDirectory,
        "-R",
        "-X",
        "stream",
        "-c",
        "fast",
        "-d",
        source,
      ]);
    },
  });
}

async function freePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}
