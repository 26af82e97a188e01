// The connection that keeps the target's WAL flushed while rows are loaded: there while it is worth it, gone afterwards,
// and never in the way.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { openSession, resolveConnection, type ConnectionSettings } from "../../src/postgres/index.ts";
import type { RestoreTask } from "../../src/restore/plan.ts";
import type { ConnectTarget } from "../../src/restore/session.ts";
import { withWalFlushed } from "../../src/restore/wal-flusher.ts";
import { until } from "../faults/support.ts";
import { server, type TestDatabase, type TestServer } from "../support/servers.ts";

const MIB = 1024 * 1024;
const applicationName = "cairn wal flusher test";

describe.each([17, 18] as const)("withWalFlushed() on PostgreSQL %i", (major) => {
  let pg: TestServer;
  let target: TestDatabase;
  let settings: ConnectionSettings;

  beforeAll(async () => {
    pg = await server(major);
    target = await pg.createDatabase();
    const caller = { environment: {}, homeDirectory: "/nonexistent", userName: "x" };
    settings = await resolveConnection({ source: target.uri, ...caller });
  });
  afterAll(async () => target?.[Symbol.asyncDispose]());

  const connect: ConnectTarget = (_database, signal) => openSession(settings, { signal, applicationName });
  const sessions = async (): Promise<number> => {
    const query = `SELECT count(*) FROM pg_stat_activity WHERE application_name = '${applicationName}'`;
    return Number(await target.psql(query));
  };
  const help = (sizeBytes: number, using: ConnectTarget = connect) => ({
    connect: using,
    database: target.name,
    tasks: [{ isWanted: true, sizeBytes, load: { kind: "copy" } } as RestoreTask],
    loadersOpen: Promise.resolve(),
    signal: new AbortController().signal,
  });
  test("has one connection while rows are loaded, and none at the end", async () => {
    const result = await withWalFlushed(help(64 * MIB), async () => {
      await until("it is connected", async () => (await sessions()) === 1);
      return "loaded";
    });
    expect(result).toBe("loaded");
    await until("it is gone", async () => (await sessions()) === 0);
  });

  test("has the WAL flushed while rows are loaded, and connects for no little data", async () => {
    const unflushed = async (): Promise<number> =>
      Number(await target.psql("SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn()"));
    await withWalFlushed(help(64 * MIB), async () => {
      await until("it is connected", async () => (await sessions()) === 1);
      const asked =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '" +
        applicationName +
        "' AND query LIKE '%emit_message%'";
      await until("it flushes", async () => (await target.psql(asked)) === "1");
      await until("nothing is left to flush", async () => (await unflushed()) < 64 * 1024);
    });
    let asked = 0;
    const counting: ConnectTarget = (database, signal) => {
      asked += 1;
      return connect(database, signal);
    };
    expect(await withWalFlushed(help(64 * MIB - 1, counting), async () => "loaded")).toBe("loaded");
    expect(asked).toBe(0);
  });

  test("is not missed where no connection can be had, and ends with a load that fails", async () => {
    const refused: ConnectTarget = () => Promise.reject(new Error("too many connections"));
    expect(await withWalFlushed(help(64 * MIB, refused), async () => "loaded")).toBe("loaded");
    const failing = withWalFlushed(help(64 * MIB), async () => {
      await until("it is connected", async () => (await sessions()) === 1);
      throw new Error("the load failed");
    });
    await expect(failing).rejects.toThrow("the load failed");
    await until("it is gone", async () => (await sessions()) === 0);
  });
});

test("withWalFlushed() asks nothing of PostgreSQL 16, which cannot flush a message", async () => {
  const pg = await server(16);
  await using target = await pg.createDatabase();
  const caller = { environment: {}, homeDirectory: "/nonexistent", userName: "x" };
  const settings = await resolveConnection({ source: target.uri, ...caller });
  const closed = Promise.withResolvers<void>();
  const connect: ConnectTarget = async (_database, signal) => {
    const session = await openSession(settings, { signal, applicationName });
    const close = session.close.bind(session);
    session.close = async () => {
      await close();
      closed.resolve();
    };
    session.query = () => Promise.reject(new Error("nothing is asked"));
    return session;
  };
  const tasks = [{ isWanted: true, sizeBytes: 64 * MIB, load: { kind: "copy" } } as RestoreTask];
  const { signal } = new AbortController();
  await withWalFlushed(
    { connect, database: target.name, tasks, loadersOpen: Promise.resolve(), signal },
    () => closed.promise,
  );
});
