// A repository on a WebDAV server from init to prune, with the command as a user starts it, on Apache and real PostgreSQL.

import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCheck } from "../../src/operations/check/index.ts";
import { runList } from "../../src/operations/list/index.ts";
import type { OperationContext, RepositoryAccess } from "../../src/operations/operation.ts";
import { runStorageTest } from "../../src/operations/storage-test/index.ts";
import type { StorageTestReport } from "../../src/operations/storage-test/index.ts";
import { openStorage } from "../../src/storage/index.ts";
import type { Storage } from "../../src/storage/index.ts";
import { expectEqual, FaultBench, PASSPHRASE, until } from "../faults/support.ts";
import { server } from "../support/servers.ts";
import type { TestDatabase, TestServer } from "../support/servers.ts";
import { collect, namesIn } from "./contract.ts";
import { environmentOf, READER, startApache, surroundingsOf, uriAt, USER } from "./webdav-servers.ts";
import type { WebdavServer } from "./webdav-servers.ts";
import { forward, openSpoiler } from "./webdav-spoiler.ts";
import { ORDERS_AND_FILES } from "./orders-and-files.ts";

const context: OperationContext = {
  signal: new AbortController().signal,
  environment: {},
  homeDirectory: "/nonexistent",
  userName: "postgres",
  onEvent: () => undefined,
};

let apache: WebdavServer;
let pg: TestServer;
let database: TestDatabase;
beforeAll(async () => {
  [apache, pg] = await Promise.all([startApache(), server(18)]);
  database = await pg.createDatabase();
  await database.psql(ORDERS_AND_FILES);
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await apache[Symbol.asyncDispose]();
});

/** A repository of all tests; each has its own lineage in it. */
let bench: FaultBench;
let uri: string;
let environment: Readonly<Record<string, string>>;
beforeAll(async () => {
  bench = await FaultBench.create({ repository: "none" });
  uri = uriAt(apache.host, `repositories/${randomBytes(6).toString("hex")}`);
  environment = { ...environmentOf(USER), CAIRN_REPOSITORY: uri };
  await bench.succeeds(["init", "--recovery-kit", bench.file("kit")], { environment });
});
afterAll(async () => await bench[Symbol.asyncDispose]());

/** Tries a storage in this process: the same as the command, without the time to start it. */
async function tryStorage(location: string, user: string, isReadOnly = false): Promise<StorageTestReport> {
  const access = accessTo(location, user);
  return await runStorageTest(context, { location: access, isReadOnly });
}

function accessTo(location: string, user: string): RepositoryAccess {
  const storage = { environment: environmentOf(user), signal: context.signal, onRetry: () => undefined };
  const askPassphrase = (): Promise<string> => Promise.reject(new Error("nobody is there"));
  return { location, storage, givenPassphrase: PASSPHRASE, askPassphrase };
}

/** True once data is being sent that no server shows yet: a claim alone, of a living writer. */
async function isUploading(storage: Storage): Promise<boolean> {
  return (await collect(storage.leftovers())).some(({ isDead, sizeBytes }) => !isDead && sizeBytes === 0);
}

test("a backup that is killed leaves no restore point; what it left is named, and removed by the next one", async () => {
  await using storage = await openStorage(uri, surroundingsOf());
  const before = await namesIn(storage, "backups/");
  const words = ["backup", database.uri, "--limit-upload", "5M", "--lineage"];
  const killed = bench.start([...words, "killed"], { environment });
  await until("an upload is under way", async () => await isUploading(storage));
  killed.child.kill("SIGKILL");
  await killed.ended;
  expect(await namesIn(storage, "backups/")).toEqual(before);
  const left = await collect(storage.leftovers());
  expect(left.length).toBeGreaterThan(0);
  expect(left.filter(({ isDead }) => !isDead)).toEqual([]);

  const stopped = bench.start([...words, "stopped"], { environment });
  await until("an upload is under way", async () => await isUploading(storage));
  stopped.child.kill("SIGINT");
  expect((await stopped.ended).status).toBe(130);
  expect(await collect(storage.leftovers())).toEqual([]);
  expect(await namesIn(storage, "backups/")).toEqual(before);
});

test("backup, list, restore one table, expire, prune, check; a reader may restore", async () => {
  const options = { environment };
  const first = (await bench.succeeds(["backup", database.uri, "--json"], options)).json();
  const second = (await bench.succeeds(["backup", database.uri, "--json"], options)).json();
  expect(second.newBytes).toBeLessThan(first.newBytes / 100);
  const repository = accessTo(uri, USER);
  expect((await runList(context, { repository, lineage: null })).restorePoints).toHaveLength(2);

  const scratch = `scratch_${randomBytes(4).toString("hex")}`;
  await bench.succeeds(["restore", "latest", "--to", database.uri, "-t", "orders", `--scratch=${scratch}`], options);
  expect(await pg.psql(scratch, "SELECT count(*), max(id) FROM orders")).toBe("20000|20000");
  await pg.dropDatabase(scratch);

  await bench.succeeds(["expire", "--keep-last", "1"], options);
  await bench.succeeds(["prune"], options);
  expect((await runList(context, { repository, lineage: null })).restorePoints).toHaveLength(1);
  expect(await runCheck(context, { repository, readFraction: 1 })).toMatchObject({ isWhole: true, findings: [] });

  const asReader = { environment: { ...environment, ...environmentOf(READER) } };
  await using copy = await pg.createDatabase();
  await bench.succeeds(["restore", "latest", "--to", copy.uri, "--jobs", "4"], asReader);
  await expectEqual({ server: pg, name: database.name }, { server: pg, name: copy.name });
});

test("no repository is said as that; storage test tells what a user may do", async () => {
  const empty = uriAt(apache.host, "repositories/none");
  expect(await bench.run(["list"], { environment: { ...environment, CAIRN_REPOSITORY: empty } })).toMatchObject({
    status: 10,
    errors: expect.stringContaining("there is no repository in webdav://") as string,
  });
  expect(await tryStorage(empty, USER)).toMatchObject({ isFit: true });
  expect(await tryStorage(uri, READER, true)).toMatchObject({ isFit: true });
  expect(await tryStorage(empty, READER)).toMatchObject({ isFit: false });
});

test("a server that replaces what is there is refused by init", async () => {
  await using careless = await openSpoiler(apache.host, (incoming, answer) => {
    if (incoming.method !== "MOVE") return false;
    forward(apache.host, incoming, answer, { headers: { overwrite: "T" } });
    return true;
  });
  const there = uriAt(careless.host, "repositories/careless");
  const carelessly = { environment: { ...environment, CAIRN_REPOSITORY: there } };
  const run = await bench.run(["init", "--recovery-kit", bench.file("no-kit")], carelessly);
  expect(run).toMatchObject({ status: 1, errors: expect.stringContaining("replaces an object") as string });
  const report = await tryStorage(there, USER);
  expect(report).toMatchObject({ isFit: false });
  expect(JSON.stringify(report)).toContain("the second write won");
});
