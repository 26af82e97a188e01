// `cairn dump` when something stands still: a pg_dump that asks nothing, a server that answers nothing, a holder that sends
// nothing. Only the time of intervals and of the monotonic clock is faked; programs, servers and sockets are real.

import { chmod, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "pg";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { PG_DUMP_SILENCE_MS, SERVER_SILENCE_MS } from "../../src/dump/contents-watch.ts";
import { inspectPgDump } from "../../src/dump/installed/find.ts";
import { openDump } from "../../src/dump/index.ts";
import { READ_STALL_MS } from "../../src/dump/stall-watch.ts";
import { parseVersionText, resolveConnection } from "../../src/postgres/index.ts";
import { server, type TestDatabase } from "../support/servers.ts";
import { dump, failureOf, testFolder } from "./run-dump.ts";
import { waitUntil } from "./trial-database.ts";

const LOOK_MS = 60_000;
const OURS = "datname = current_database() AND application_name = 'cairn'";
const OURS_READER = OURS.replace("'cairn'", "'cairn reader'");
const LOCK_AWAITED = "EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock')";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A database with a locked table; the lock is given back when disposed. */
async function lockedDatabase(): Promise<{ database: TestDatabase; release(): Promise<void> }> {
  const database = await (await server(18)).createDatabase();
  await database.psql("CREATE TABLE held (a int); INSERT INTO held VALUES (1)");
  const client = new Client({ connectionString: database.uri });
  await client.connect();
  await client.query("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE");
  return { database, release: () => client.end() };
}

/** A way to the server; once frozen, nothing more arrives in either direction, and new connections are cut. */
async function wayTo(port: number): Promise<{ port: number; count(): number; freeze(): void; close(): void }> {
  let isFrozen = false;
  let count = 0;
  const sockets = new Set<Socket>();
  const way = createServer((socket) => {
    count += 1;
    if (isFrozen) {
      socket.destroy();
      return;
    }
    const onward = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      sockets.add(from);
      from.on("data", (bytes) => isFrozen || to.write(bytes));
      from.on("error", () => to.destroy()).on("close", () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => way.listen(0, "127.0.0.1", resolve));
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    way.close();
  };
  const freeze = (): void => void (isFrozen = true);
  return { port: (way.address() as AddressInfo).port, count: () => count, freeze, close };
}

test("cairn dump ends a pg_dump that stands still", async () => {
  await using folder = await testFolder();
  await using database = await (await server(18)).createDatabase();
  const program = folder.file("pg_dump");
  const said = `case "$1" in --version) echo "pg_dump (PostgreSQL) 18.4";; *) touch "$0.started"; exec sleep 3600;; esac`;
  await writeFile(program, `#!/bin/sh\n${said}\n`);
  await chmod(program, 0o755);
  const settings = { pgDump: program };
  const failing = failureOf(dump({ source: database.uri, file: folder.file("a"), settings }));
  while (!(await folder.names()).includes("pg_dump.started")) await delay(20);
  vi.advanceTimersByTime(PG_DUMP_SILENCE_MS + 2 * LOOK_MS);
  expect(await failing).toMatchObject({ code: "stalled", message: /^pg_dump asked and wrote nothing for 30 min/ });
  expect(await folder.names()).toEqual(["pg_dump", "pg_dump.started"]);
});

test("cairn dump waits for a lock as long as the server says that it does", async () => {
  await using folder = await testFolder();
  const { database, release } = await lockedDatabase();
  await using _ = database;
  const way = await wayTo(database.server.port);
  try {
    const running = dump({ source: database.uri.replace(/:\d+\//, `:${way.port}/`), file: folder.file("a") });
    const settled = vi.fn<() => void>();
    void running.then(settled, settled);
    await waitUntil(database, LOCK_AWAITED);
    for (let round = 0; round < 3; round += 1) {
      const before = way.count();
      vi.advanceTimersByTime(SERVER_SILENCE_MS + 2 * LOOK_MS);
      while (way.count() === before) await delay(20);
      // The session that asked has ended when the server is alone with pg_dump's again.
      await waitUntil(database, `1 = (SELECT count(*) FROM pg_stat_activity WHERE ${OURS})`);
      await delay(100);
    }
    expect(settled).not.toHaveBeenCalled();
    await release();
    expect((await running).rowCount).toBe(1);
  } finally {
    way.close();
  }
});

test("cairn dump ends when the server answers neither pg_dump nor a second connection", async () => {
  await using folder = await testFolder();
  const { database, release } = await lockedDatabase();
  await using _ = database;
  const way = await wayTo(database.server.port);
  try {
    const source = database.uri.replace(/:\d+\//, `:${way.port}/`);
    const failing = failureOf(dump({ source, file: folder.file("a") }));
    await waitUntil(database, LOCK_AWAITED);
    way.freeze();
    vi.advanceTimersByTime(SERVER_SILENCE_MS + 2 * LOOK_MS);
    const error = await failing;
    expect(error).toMatchObject({ code: "stalled", retryable: true });
    expect(error.message).toBe("the server gave pg_dump no answer for 15 min 00 s");
    expect(error.detail).toMatch(/^A second connection failed: /);
    expect(await folder.names()).toEqual([]);
  } finally {
    way.close();
    await release();
  }
});

test("Dump.useHolder() loses a holder that sends nothing, and gives up what it was doing", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase();
  const { signal } = new AbortController();
  const resolving = { source: database.uri, environment: {}, homeDirectory: "/nonexistent", userName: "postgres" };
  await using dumping = await openDump({
    settings: await resolveConnection(resolving),
    server: parseVersionText("18.4"),
    serverEncoding: "UTF8",
    pgDump: await inspectPgDump(pg.tools.pgDump),
    arguments: [],
    environment: {},
    signal,
  });
  const work = dumping.useHolder(async (holder) => void (await holder.query("SELECT pg_sleep(600)")));
  const failing = failureOf(work);
  await waitUntil(database, `EXISTS (SELECT FROM pg_stat_activity WHERE ${OURS_READER} AND query LIKE '%pg_sleep%')`);
  vi.advanceTimersByTime(READ_STALL_MS + 2 * LOOK_MS);
  expect((await failing).code).toBe("connection_lost");
  expect(dumping.holderLost.reason).toMatchObject({ detail: "it gave no answer for 1 h 00 min." });
});
