// A source whose name has several addresses, or whose address has several servers behind it: all sessions of a dump meet
// the server of the first one, or the dump says why it fails.

import dns from "node:dns";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { afterEach, expect, test, vi } from "vitest";

import { runClusterBackup } from "../../src/operations/backup-cluster/index.ts";
import { clusterSettings } from "../cluster/support.ts";
import { TestRepository } from "../matrix/support.ts";
import { ownServer, runTool, server, type TestServer } from "../support/servers.ts";
import { dump, failureOf, testFolder } from "./run-dump.ts";

const TABLE = "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)";

afterEach(() => {
  vi.restoreAllMocks();
});

/** Has a name lead to one address after the other, the last one again and again; how often it was looked up. */
function nameLeadsTo(name: string, addresses: readonly string[]): { count: number } {
  const asked = { count: 0 };
  const lookup = dns.lookup.bind(dns) as (...parameters: unknown[]) => unknown;
  vi.spyOn(dns, "lookup").mockImplementation(((host: string, options: { all?: boolean }, callback: Callback) => {
    if (host !== name) return lookup(host, options, callback);
    const address = addresses[Math.min(asked.count++, addresses.length - 1)]!;
    process.nextTick(() => (options.all ? callback(null, [{ address, family: 4 }]) : callback(null, address, 4)));
  }) as never);
  return asked;
}

type Callback = (error: null, ...answer: unknown[]) => void;

/** Hands each connection on to the port that is chosen for it. */
async function balancer(choosePort: () => number): Promise<{ server: Server; port: number }> {
  const balancing = createServer((socket) => {
    const onward = connect(choosePort(), "127.0.0.1");
    socket.on("error", () => onward.destroy()).pipe(onward);
    onward.on("error", () => socket.destroy()).pipe(socket);
  });
  await new Promise<void>((resolve) => balancing.listen(0, "127.0.0.1", resolve));
  return { server: balancing, port: (balancing.address() as AddressInfo).port };
}

test("cairn dump meets one server with all its sessions when a name has several addresses", async () => {
  const pg = await server(18);
  await using folder = await testFolder();
  await using database = await pg.createDatabase();
  await database.psql(TABLE);
  const asked = nameLeadsTo("several.invalid", ["127.0.0.1", "127.0.0.2"]); // nobody listens on the second one
  const source = database.uri.replace("127.0.0.1", "several.invalid");
  const receipt = await dump({ source, file: folder.file("a") });
  expect(receipt.rowCount).toBe(1000);
  expect(receipt.source).toContain("several.invalid");
  expect(asked.count).toBe(1);
  expect(await runTool(pg.tools.pgRestore, ["--list", folder.file("a")])).toContain("TABLE DATA public t");
});

test("cairn backup --cluster meets one server for roles and all databases when a name has several addresses", async () => {
  await using pg = await ownServer(18);
  await using repository = await TestRepository.create();
  const asked = nameLeadsTo("several.invalid", ["127.0.0.1", "127.0.0.2"]);
  const source = pg.uri("postgres").replace("127.0.0.1", "several.invalid");
  const settings = clusterSettings(repository, source, {});
  const receipt = await runClusterBackup(repository.context(), settings);
  expect(receipt.databases.map(({ databaseName, error }) => [databaseName, error])).toEqual([
    ["template1", null],
    ["postgres", null],
  ]);
  expect(receipt.databases[1]?.receipt?.lineage).toBe(`postgres@several.invalid:${pg.port}`);
  expect(asked.count).toBe(1);
});

test("cairn backup and cairn restore meet one server with all their sessions when a name has several addresses", async () => {
  const pg = await server(18);
  await using repository = await TestRepository.create();
  await using database = await pg.createDatabase();
  await using copy = await pg.createDatabase();
  await database.psql(TABLE);
  for (const [name, uri] of [
    ["source.invalid", database.uri],
    ["target.invalid", copy.uri],
  ] as const) {
    const asked = nameLeadsTo(name, ["127.0.0.1", "127.0.0.2"]);
    const place = uri.replace("127.0.0.1", name);
    if (uri === database.uri) await repository.backup(place);
    else await repository.restore("latest", place);
    expect(asked.count).toBe(1);
    vi.restoreAllMocks();
  }
  expect(await copy.psql("SELECT count(*) FROM t")).toBe("1000");
});

test.each([
  ["readers", "read", 0],
  ["the session beside the holder", "contents", 1],
  ["the session that looks at the names again", "read", 1],
] as const)("cairn dump says so when %s meet another server behind one address", async (_who, phase, count) => {
  const [pg, other]: TestServer[] = await Promise.all([server(18), server(17)]);
  await using folder = await testFolder();
  await using database = await pg!.createDatabase();
  await using _twin = await other!.createDatabase(database.name);
  await database.psql(TABLE);
  let remaining = Infinity;
  const { server: balancing, port } = await balancer(() => (remaining-- > 0 ? pg!.port : other!.port));
  try {
    const source = database.uri.replace(/:\d+\//, `:${port}/`);
    const onEvent = (event: { type: string; phase?: string }): void => {
      if (event.type === "phase" && event.phase === phase) remaining = count;
    };
    const error = await failureOf(dump({ source, file: folder.file("a"), onEvent }));
    expect(error.message).toMatch(/could not take the snapshot/);
    expect(error.hint).toMatch(/load balancer/);
    expect(await folder.names()).toEqual([]);
  } finally {
    balancing.close();
  }
});
