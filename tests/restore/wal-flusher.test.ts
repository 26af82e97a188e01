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

describe.each([13, 18] as const)("withWalFlushed() on PostgreSQL %i", (major) => {
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

  test("takes transaction ids while rows are loaded and none for little data", async () => {
    const nextId = async (): Promise<number> =>
      Number(await target.psql("SELECT txid_snapshot_xmax(txid_current_snapshot())"));
    const before = await nextId();
    await withWalFlushed(help(64 * MIB), async () => {
      await until("it took ids", async () => (await nextId()) > before + 5);
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
