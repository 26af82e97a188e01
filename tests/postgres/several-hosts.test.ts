// Several hosts in one connection: which server is met is held against the stock psql with the same string, on a primary,
// its hot standby, a server before version 14 and a port where nobody listens; all sessions of a run meet one server.

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, test } from "vitest";

import { openSession, resolveConnection, type Session } from "../../src/postgres/index.ts";
import { runClusterBackup } from "../../src/operations/backup-cluster/index.ts";
import { clusterSettings } from "../cluster/support.ts";
import { doctor } from "../doctor/support.ts";
import { TestRepository } from "../matrix/support.ts";
import { clientTools, ownServer, runAsServerUser, server, type OwnServer } from "../support/servers.ts";

const MAJOR = 18;
const REPLAY_TIMEOUT_MS = 60_000;
const RULES = "local all all trust\nhost all,replication postgres all trust\nhost all all all scram-sha-256\n";

const disposables = new AsyncDisposableStack();
let home = "";
let primary: OwnServer;
let standby: OwnServer;
let ports: Record<string, number> = {};

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "cairn-hosts-"));
  disposables.defer(() => rm(home, { recursive: true, force: true }));
  primary = disposables.use(await ownServer(MAJOR, { hostBasedAuthentication: RULES }));
  await primary.psql(
    "postgres",
    "CREATE ROLE worker LOGIN PASSWORD 'right'; CREATE ROLE reader LOGIN PASSWORD 'right'",
  );
  await primary.psql("postgres", "ALTER ROLE reader SET default_transaction_read_only = on");
  await primary.psql("postgres", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS i");
  const { pgBasebackup } = await clientTools(MAJOR);
  const fillDataDirectory = async (dataDirectory: string): Promise<void> => {
    const args = ["-D", dataDirectory, "-R", "-c", "fast", "--no-sync", "-d", primary.uri("postgres")];
    await runAsServerUser(pgBasebackup, args);
  };
  standby = disposables.use(await ownServer(MAJOR, { fillDataDirectory, hostBasedAuthentication: RULES }));
  ports = { PRIMARY: primary.port, STANDBY: standby.port, OLD: (await server(13)).port, DEAD: await deadPort() };
  await writeFile(
    join(home, "passwords"),
    `127.0.0.1:${primary.port}:*:*:wrong\n127.0.0.1:${standby.port}:*:*:right\n`,
    {
      mode: 0o600,
    },
  );
});
afterAll(() => disposables.disposeAsync());

async function deadPort(): Promise<number> {
  const listening = createServer();
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  const { port } = listening.address() as AddressInfo;
  await new Promise((resolve) => listening.close(resolve));
  return port;
}

/** "PRIMARY,DEAD" as host and port lists, and more parameters. */
function sourceOf(names: string, parameters: string): string {
  const list = names.split(",");
  const hosts = list.map(() => "127.0.0.1").join(",");
  const numbers = list.map((name) => ports[name]).join(",");
  const user = parameters.includes("user=") ? "" : "user=postgres ";
  return `host=${hosts} port=${numbers} dbname=postgres ${user}${parameters.replaceAll("HOME", home)}`;
}

async function open(source: string): Promise<Session> {
  return await openSession(await resolveConnection({ source, environment: {}, homeDirectory: home, userName: "x" }));
}

function nameOf(port: string | null): string {
  return Object.entries(ports).find(([, number]) => String(number) === port)?.[0] ?? `port ${port}`;
}

const PORT = "SELECT current_setting('port')";

async function ours(source: string): Promise<string> {
  try {
    await using session = await open(source);
    return nameOf((await session.query(PORT)).value);
  } catch {
    return "error";
  }
}

async function stock(source: string): Promise<string> {
  const { psql } = await clientTools(MAJOR);
  const options = { env: { HOME: home, PATH: "/usr/bin:/bin" } };
  const done = await promisify(execFile)(psql, ["-X", "-w", "-A", "-t", "-c", PORT, "-d", source], options).catch(
    () => null,
  );
  return done === null ? "error" : nameOf(done.stdout.trim());
}

test.each([
  ["PRIMARY,STANDBY", "", "PRIMARY"],
  ["DEAD,STANDBY,PRIMARY", "", "STANDBY"],
  ["DEAD,DEAD", "", "error"],
  ["STANDBY,PRIMARY", "target_session_attrs=read-write", "PRIMARY"],
  ["STANDBY,PRIMARY", "target_session_attrs=primary", "PRIMARY"],
  ["PRIMARY,STANDBY", "target_session_attrs=read-only", "STANDBY"],
  ["PRIMARY,DEAD,STANDBY", "target_session_attrs=standby", "STANDBY"],
  ["PRIMARY,DEAD,STANDBY", "target_session_attrs=prefer-standby", "STANDBY"],
  ["DEAD,PRIMARY", "target_session_attrs=prefer-standby", "PRIMARY"],
  ["DEAD,PRIMARY", "target_session_attrs=standby", "error"],
  ["PRIMARY,STANDBY", "user=reader password=right target_session_attrs=read-write", "error"],
  ["PRIMARY,STANDBY", "user=reader password=right target_session_attrs=read-only", "PRIMARY"],
  ["OLD,PRIMARY", "target_session_attrs=read-write", "OLD"],
  ["OLD,PRIMARY", "target_session_attrs=primary", "OLD"],
  ["OLD,STANDBY", "target_session_attrs=read-only", "STANDBY"],
  ["OLD,STANDBY", "target_session_attrs=standby", "STANDBY"],
  ["OLD,DEAD", "target_session_attrs=prefer-standby", "OLD"],
  // A server that answers with a refusal ends the search.
  ["PRIMARY,STANDBY", "user=worker password=wrong", "error"],
  ["DEAD,PRIMARY,STANDBY", "user=stranger password=right", "error"],
  ["PRIMARY,STANDBY", "sslmode=require", "error"],
  // The password file has one for each host, the wrong one for the primary.
  ["PRIMARY,STANDBY", "user=worker passfile=HOME/passwords", "error"],
  ["DEAD,STANDBY,PRIMARY", "user=worker passfile=HOME/passwords", "STANDBY"],
])("connectAuthenticated() with %s %s meets %s, as psql", async (names, parameters, expected) => {
  const source = sourceOf(names, parameters);
  expect([await ours(source), await stock(source)]).toEqual([expected, expected]);
});

test("connectAuthenticated() with URI and names is as psql", async () => {
  const uri = `postgres://postgres@no-such-host.invalid:1,127.0.0.1:${ports["DEAD"]},127.0.0.1:${ports["STANDBY"]}/postgres`;
  expect([await ours(uri), await stock(uri)]).toEqual(["STANDBY", "STANDBY"]);
  const addresses = `hostaddr=127.0.0.1,127.0.0.1 port=${ports["DEAD"]},${ports["PRIMARY"]} user=postgres dbname=postgres`;
  expect([await ours(addresses), await stock(addresses)]).toEqual(["PRIMARY", "PRIMARY"]);
});

test("connectAuthenticated() goes on from a server that is starting, and from one that says nothing in time", async () => {
  const answering = (answer: string): ReturnType<typeof createServer> =>
    createServer((socket) => {
      socket
        .on("error", () => {})
        .on("data", (bytes) => void (bytes.length === 8 ? socket.write("N") : socket.end(answer)));
    });
  const fields = "SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
  const starting = answering(`E\0\0\0${String.fromCharCode(fields.length + 4)}${fields}`);
  const silent = createServer(() => {});
  const places = [];
  for (const one of [starting, silent]) {
    await new Promise<void>((resolve) => one.listen(0, "127.0.0.1", resolve));
    places.push((one.address() as AddressInfo).port);
  }
  ports = { ...ports, STARTING: places[0] as number, SILENT: places[1] as number };
  try {
    const source = sourceOf("STARTING,SILENT,STANDBY", "connect_timeout=2");
    expect(await Promise.all([ours(source), stock(source)])).toEqual(["STANDBY", "STANDBY"]);
  } finally {
    starting.close();
    silent.close();
  }
});

test("connectAuthenticated() says of each host why it does not serve", async () => {
  const source = sourceOf("DEAD,STANDBY", "target_session_attrs=read-write");
  await expect(open(source)).rejects.toMatchObject({
    code: "connection_failed",
    message: expect.stringMatching(
      /^could not connect to database "postgres" on .*: none of the 2 servers serves$/,
    ) as unknown,
    detail: `127.0.0.1:${ports["DEAD"]}: connection refused\n127.0.0.1:${ports["STANDBY"]}: the session is read-only`,
  });
  const refused = sourceOf("DEAD,PRIMARY", "user=worker password=wrong");
  await expect(open(refused)).rejects.toMatchObject({
    sqlState: "28P01",
    message: expect.stringContaining(`on 127.0.0.1:${ports["PRIMARY"]} as "worker"`) as unknown,
    detail: `Before it: 127.0.0.1:${ports["DEAD"]}: connection refused.`,
  });
});

test("load_balance_hosts=random meets one and the other", async () => {
  const source = sourceOf("PRIMARY,STANDBY", "load_balance_hosts=random");
  const met = new Set<string>();
  // Forty times the same one of two: once in 2^39 runs.
  for (let count = 0; count < 40 && met.size < 2; count += 1) met.add(await ours(source));
  expect([...met].toSorted()).toEqual(["PRIMARY", "STANDBY"]);
});

test("a session's settings lead to the server it met", async () => {
  await using first = await open(sourceOf("DEAD,STANDBY,PRIMARY", "load_balance_hosts=random"));
  const met = (await first.query(PORT)).value;
  expect(first.settings).toMatchObject({ port: Number(met), alternatives: [] });
  for (let count = 0; count < 10; count += 1) {
    await using second = await openSession(first.settings);
    expect((await second.query(PORT)).value).toBe(met);
  }
});

test("backup and backup --cluster meet one server with all sessions, and keep the lineage of the first host", async () => {
  const lsn = await primary.psql("postgres", "SELECT pg_current_wal_lsn()");
  const replayed = `SELECT pg_last_wal_replay_lsn() >= '${lsn}'`;
  await expect.poll(() => standby.psql("postgres", replayed), { timeout: REPLAY_TIMEOUT_MS }).toBe("t");
  await using repository = await TestRepository.create();
  const before = await sessionCount();
  const source = sourceOf("DEAD,PRIMARY,STANDBY", "target_session_attrs=prefer-standby");
  const receipt = await repository.backup(source);
  expect(receipt).toMatchObject({ lineage: `postgres@127.0.0.1:${ports["DEAD"]}`, rowCount: 1000 });
  expect(receipt.source).toBe(`postgres@127.0.0.1:${ports["STANDBY"]}`);
  const cluster = await runClusterBackup(repository.context(), clusterSettings(repository, source, {}));
  expect(cluster.databases.map(({ databaseName, error }) => [databaseName, error])).toEqual([
    ["template1", null],
    ["postgres", null],
  ]);
  // The primary was asked what it is by the first session of each run, and by no other; one is the counting itself.
  expect((await sessionCount()) - before).toBe(2 + 1);
  await restoreEverywhere(repository, receipt.id);
});

/** Restores with several connections into one of two servers that have an empty database of one name. */
async function restoreEverywhere(repository: TestRepository, id: string): Promise<void> {
  const old = await server(13);
  await using onOld = await old.createDatabase();
  await using onPrimary = await primary.createDatabase(onOld.name);
  const target = sourceOf("OLD,PRIMARY", `load_balance_hosts=random dbname=${onOld.name}`);
  const report = await repository.restore(id, target, { options: { jobs: 4, noOwner: true } });
  expect(report).toMatchObject({ isComplete: true, rowCount: 1000 });
  const tables = "SELECT count(*) FROM pg_class WHERE relname = 't'";
  expect([await onOld.psql(tables), await onPrimary.psql(tables)].toSorted()).toEqual(["0", "1"]);
}

/** Sessions that the primary's database has had. */
async function sessionCount(): Promise<number> {
  const count = await primary.psql("postgres", "SELECT sessions FROM pg_stat_database WHERE datname = 'postgres'");
  return Number(count);
}

test("doctor looks at the server that it met, and says which", async () => {
  const report = await doctor(sourceOf("DEAD,STANDBY", ""));
  expect(report.source).toBe(`database "postgres" on 127.0.0.1:${ports["STANDBY"]} as "postgres"`);
  expect(report.encryption).toBe("none");
});
