// Sessions on real servers of the oldest and the newest major: results, errors, COPY, cancelling, loss.

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  connectAuthenticated,
  DirectReadSocket,
  encodeQuery,
  MessageReader,
  openSession,
  ServerError,
  startThrowawayServer,
} from "../../src/postgres/index.ts";
import type { Session, ServerMessage, ThrowawayServer } from "../../src/postgres/index.ts";

const MIB = 1024 * 1024;
const FOREVER = "SELECT pg_sleep(600)";

describe.each([13, 18])("PostgreSQL %i", (major) => {
  let server: ThrowawayServer;
  const open = (options?: Parameters<typeof openSession>[1]): Promise<Session> => openSession(server.settings, options);

  beforeAll(async () => {
    server = await startThrowawayServer({ major, settings: { max_connections: "20" } });
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  // The victim's backend ended by another session.
  async function terminate(victim: Session): Promise<void> {
    await using other = await open();
    await other.query(`SELECT pg_terminate_backend(${victim.connection.processId})`);
  }

  test("queryOne() runs one statement, and none of several", async () => {
    await using session = await open();
    const one = await session.queryOne("SELECT 'é' AS a, NULL::int AS b;");
    expect(one.rows).toEqual([["é", null]]);
    expect(one.columns.map(({ name }) => name)).toEqual(["a", "b"]);
    expect((await session.queryOne("SET work_mem = '3MB'")).rows).toEqual([]);
    expect((await session.queryOne("")).rows).toEqual([]);
    await session.query("CREATE TEMP TABLE t (id int)");
    await expect(session.queryOne("INSERT INTO t VALUES (1); SELECT true")).rejects.toMatchObject({
      sqlState: "42601",
    });
    await expect(session.queryOne("COPY t FROM STDIN")).rejects.toThrow(/COPY is not possible/);
    await expect(session.queryOne("COPY t TO STDOUT")).rejects.toThrow(/copies data out/);
    await expect(session.queryOne("SELECT 1 / 0")).rejects.toMatchObject({ sqlState: "22012" });
    expect((await session.query("SELECT count(*) FROM t")).value).toBe("0");
  });

  test("query() gives all results, the last one first", async () => {
    await using session = await open({ applicationName: "test name" });
    const result = await session.query(
      "SET work_mem = '2MB'; SELECT 1 AS a, NULL AS b; SELECT 'é', current_setting('application_name')",
    );
    expect(result.rows).toEqual([["é", "test name"]]);
    expect(result.all.map(({ command }) => command)).toEqual(["SET", "SELECT 1", "SELECT 1"]);
    expect(result.all[1]?.columns.map(({ name }) => name)).toEqual(["a", "b"]);
    expect((await session.query("")).rows).toEqual([]);
    expect(session.serverVersion.major).toBe(major);
  });

  test("query() reports the server's error with its fields, and the session goes on", async () => {
    await using session = await open();
    await session.execute("CREATE TEMP TABLE t (a int CONSTRAINT positive CHECK (a > 0))");
    const error = await session.query("INSERT INTO t VALUES (-1)").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ServerError);
    expect(error).toMatchObject({ code: "query_failed", sqlState: "23514", serverError: { constraint: "positive" } });
    await expect(session.query("SELECT * FROM nowhere")).rejects.toMatchObject({ serverError: { position: 15 } });
    await session.execute("BEGIN");
    expect(session.transactionStatus).toBe("transaction");
    await expect(session.query("SELECT 1/0")).rejects.toMatchObject({ sqlState: "22012" });
    expect(session.transactionStatus).toBe("failed");
    expect(await session.execute("ROLLBACK")).toBeNull();
  });

  test("query() has codes for missing privilege and for a lock", async () => {
    await using one = await open();
    await using two = await open();
    await one.execute("CREATE TABLE locked (); CREATE ROLE weak");
    await one.execute("BEGIN; LOCK TABLE locked");
    await expect(two.query("BEGIN; LOCK TABLE locked NOWAIT")).rejects.toMatchObject({
      code: "lock_timeout",
      retryable: true,
    });
    await one.execute("ROLLBACK");
    await two.execute("ROLLBACK; SET ROLE weak");
    await expect(two.query("SELECT * FROM locked")).rejects.toMatchObject({ code: "insufficient_privilege" });
    await one.execute("DROP TABLE locked; DROP ROLE weak");
  });

  test("query() refuses COPY in both directions and stays usable", async () => {
    await using session = await open();
    await expect(session.query("COPY (SELECT 1) TO STDOUT")).rejects.toThrow("use copyOut()");
    await session.execute("CREATE TEMP TABLE t (a int)");
    await expect(session.query("COPY t FROM STDIN")).rejects.toThrow("COPY is not possible");
    expect((await session.query("SELECT 1")).value).toBe("1");
  });

  test("textEncoding latin1 keeps bytes that are no UTF-8", async () => {
    await using session = await open();
    await session.execute("SET client_encoding = 'LATIN1'");
    session.textEncoding = "latin1";
    expect((await session.query("SELECT 'é', length('é')")).rows).toEqual([["é", "1"]]);
  });

  test("notices go to the callback, changed parameters to the map", async () => {
    const notices: ServerMessage[] = [];
    await using session = await open({ onNotice: (notice) => notices.push(notice) });
    await session.execute("DO $$ BEGIN RAISE NOTICE 'hello'; END $$; SET application_name = 'other'");
    expect(notices.map(({ message, severity }) => [severity, message])).toEqual([["NOTICE", "hello"]]);
    expect(session.connection.parameters.get("application_name")).toBe("other");
  });

  test("functionCall() passes bytes both ways", async () => {
    await using session = await open();
    const { value } = await session.query("SELECT 'byteacat(bytea,bytea)'::regprocedure::oid");
    const result = await session.functionCall(Number(value), [Uint8Array.of(1, 0), Uint8Array.of(255)]);
    expect([...(result ?? [])]).toEqual([1, 0, 255]);
    expect(await session.functionCall(Number(value), [null, Uint8Array.of(1)])).toBeNull();
    await expect(session.functionCall(1, [])).rejects.toMatchObject({ code: "query_failed" });
  });

  test("copyOut() and copyIn() carry a table over, whatever the pieces", async () => {
    await using from = await open();
    await using to = await open();
    await to.execute("CREATE TABLE copied (a int, b text)");
    const writer = await to.copyIn("COPY copied FROM STDIN");
    const stream = from.copyOut("COPY (SELECT g, repeat('x', g % 500) FROM generate_series(1, 20000) g) TO STDOUT");
    for await (const piece of stream) await writer.write(piece);
    expect(await writer.finish()).toEqual({ rowCount: 20_000 });
    expect(stream.rowCount).toBe(20_000);
    expect((await to.query("SELECT sum(a), sum(length(b)) FROM copied")).rows).toEqual([["200010000", "4990000"]]);
    await to.execute("DROP TABLE copied");
  });

  test("copyOut() streams a row much larger than its queue, and copyIn() takes it in large messages", async () => {
    await using session = await open();
    await session.execute("CREATE TEMP TABLE big (b text)");
    const writer = await session.copyIn("COPY big FROM STDIN");
    await writer.write(Buffer.alloc(20 * MIB, "y"));
    await writer.write(Buffer.from("\n"));
    expect(await writer.finish()).toEqual({ rowCount: 1 });
    let [sizeBytes, largestBytes] = [0, 0];
    for await (const piece of session.copyOut("COPY big TO STDOUT")) {
      sizeBytes += piece.length;
      largestBytes = Math.max(largestBytes, piece.length);
    }
    expect(sizeBytes).toBe(20 * MIB + 1);
    expect(largestBytes).toBeLessThan(2 * MIB);
  });

  test("copyOut() holds little memory for a slow reader", async () => {
    await using session = await open();
    const stream = session.copyOut("COPY (SELECT repeat('z', 1000) FROM generate_series(1, 60000)) TO STDOUT");
    await stream.next();
    await sleep(300);
    const readBefore = session.connection.socket.bytesRead;
    await sleep(200);
    expect(session.connection.socket.bytesRead).toBe(readBefore);
    expect(readBefore).toBeLessThan(3 * MIB);
    let count = 0;
    for await (const piece of stream) count += piece.length;
    expect(count).toBeGreaterThan(55 * MIB);
  });

  test("copyOut() left early cancels, and the session goes on", async () => {
    await using session = await open();
    for await (const piece of session.copyOut("COPY (SELECT generate_series(1, 100000000)) TO STDOUT")) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    expect((await session.query("SELECT 1")).value).toBe("1");
  });

  test("copyOut() throws the server's error, also in the middle of the data", async () => {
    await using session = await open();
    await expect(session.copyOut("COPY nowhere TO STDOUT").next()).rejects.toMatchObject({ sqlState: "42P01" });
    await expect(session.copyOut("SELECT 1").next()).rejects.toThrow("copied nothing out");
    const sql = "COPY (SELECT 1/(100000-g) FROM generate_series(1, 200000) g) TO STDOUT";
    let sizeBytes = 0;
    const reading = (async () => {
      for await (const piece of session.copyOut(sql)) sizeBytes += piece.length;
    })();
    await expect(reading).rejects.toMatchObject({ sqlState: "22012" });
    expect(sizeBytes).toBeGreaterThan(100_000);
    expect((await session.query("SELECT 1")).value).toBe("1");
  });

  test("copyIn() reports the server's error at the next write, and the session goes on", async () => {
    await using session = await open();
    await session.execute("CREATE TEMP TABLE t (a int)");
    await expect(session.copyIn("COPY nowhere FROM STDIN")).rejects.toMatchObject({ sqlState: "42P01" });
    await expect(session.copyIn("SELECT 1")).rejects.toThrow("takes no data");
    const writer = await session.copyIn("COPY t FROM STDIN");
    const writing = (async () => {
      for (;;) await writer.write(Buffer.from("no number\n".repeat(10_000)));
    })();
    await expect(writing).rejects.toMatchObject({ sqlState: "22P02" });
    await expect(writer.finish()).rejects.toMatchObject({ sqlState: "22P02" });
    const abandoned = await session.copyIn("COPY t FROM STDIN");
    await abandoned.write(Buffer.from("1\n"));
    await abandoned.fail("on purpose");
    expect((await session.query("SELECT count(*) FROM t")).value).toBe("0");
  });

  test("a signal cancels query(), copyOut() and copyIn(), and the session goes on", async () => {
    await using session = await open();
    const signal = (): AbortSignal => AbortSignal.timeout(100);
    await expect(session.query(FOREVER, { signal: signal() })).rejects.toMatchObject({ name: "TimeoutError" });
    const stream = session.copyOut(`COPY (${FOREVER}) TO STDOUT`, { signal: signal() });
    await expect(stream.next()).rejects.toMatchObject({ name: "TimeoutError" });
    await session.execute("CREATE TEMP TABLE t (a int)");
    const writer = await session.copyIn("COPY t FROM STDIN", { signal: signal() });
    await writer.write(Buffer.from("1\n"));
    await sleep(300);
    await expect(writer.write(Buffer.from("2\n"))).rejects.toMatchObject({ name: "TimeoutError" });
    expect((await session.query("SELECT count(*) FROM t")).value).toBe("0");
    await expect(session.query("SELECT 1", { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
  });

  test("cancel() ends the query with 57014", async () => {
    await using session = await open();
    const running = session.query(FOREVER);
    await sleep(100);
    await Promise.all([session.cancel(), expect(running).rejects.toMatchObject({ sqlState: "57014" })]);
  });

  test("the loss of the connection rejects query(), copyOut() and copyIn() at once", async () => {
    const lost = { code: "connection_lost", sqlState: "57P01", retryable: true };
    const losses: unknown[] = [];
    const one = await open({ onLost: (error) => losses.push(error) });
    await Promise.all([expect(one.query(FOREVER)).rejects.toMatchObject(lost), sleep(100).then(() => terminate(one))]);
    expect(losses).toHaveLength(1);
    await expect(one.query("SELECT 1")).rejects.toMatchObject(lost);
    const two = await open();
    const reading = (async () => {
      for await (const piece of two.copyOut("COPY (SELECT generate_series(1, 1000000000)) TO STDOUT")) void piece;
    })();
    // A server that was blocked in sending cuts the connection without a word.
    const cut = { code: "connection_lost", retryable: true };
    await Promise.all([expect(reading).rejects.toMatchObject(cut), sleep(100).then(() => terminate(two))]);
    const three = await open();
    await three.execute("CREATE TEMP TABLE t (a int)");
    const writer = await three.copyIn("COPY t FROM STDIN");
    await terminate(three);
    const writing = (async () => {
      for (;;) await writer.write(Buffer.from("1\n".repeat(10_000)));
    })();
    await expect(writing).rejects.toMatchObject({ code: "connection_lost" });
    for (const session of [one, two, three]) await session.close();
  });

  test("the loss of an idle session is told by onLost", async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const session = await open({ onLost: resolve });
    await terminate(session);
    expect(await promise).toMatchObject({ code: "connection_lost", sqlState: "57P01" });
    expect(session.isConnected).toBe(false);
  });

  test("destroy() rejects what runs; close() twice is no error", async () => {
    const session = await open();
    const running = session.query(FOREVER);
    session.destroy();
    await expect(running).rejects.toMatchObject({ code: "connection_lost" });
    await session.close();
    await session.close();
  });

  test("a second query at the same time is a programmer's error", async () => {
    await using session = await open();
    const first = session.query("SELECT 1");
    await expect(session.query("SELECT 2")).rejects.toThrow("one query at a time");
    expect((await first).value).toBe("1");
  });

  test("connectAuthenticated() tells a wrong database, and a server without free slots", async () => {
    await expect(openSession({ ...server.settings, database: "nix" })).rejects.toMatchObject({
      code: "connection_failed",
      sqlState: "3D000",
    });
    await expect(openSession({ ...server.settings, user: "nobody" })).rejects.toMatchObject({ sqlState: "28000" });
    const sessions: Session[] = [];
    const filling = (async () => {
      for (;;) sessions.push(await open());
    })();
    await expect(filling).rejects.toMatchObject({ code: "connection_failed", sqlState: "53300", retryable: true });
    for (const session of sessions) await session.close();
  });

  test("connectAuthenticated() sends startup options", async () => {
    await using session = await open({ startupOptions: { statement_timeout: "4321", DateStyle: "German" } });
    expect((await session.query("SHOW statement_timeout; SHOW DateStyle")).all.map(({ rows }) => rows[0]?.[0])).toEqual(
      ["4321ms", "German, DMY"],
    );
    await using walsender = await open({ replication: "database" });
    expect((await walsender.query("IDENTIFY_SYSTEM")).columns[0]?.name).toBe("systemid");
  });

  test("DirectReadSocket reads into the caller's memory from the first byte after the login", async () => {
    const direct = new DirectReadSocket();
    const connection = await connectAuthenticated(server.settings, { createSocket: () => direct.socket });
    const reader = new MessageReader();
    const memory = Buffer.alloc(1000);
    const seen: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    direct.divert({
      reserve: () => memory,
      advance: (lengthBytes) => {
        reader.push(Uint8Array.from(memory.subarray(0, lengthBytes)));
        for (const { type } of reader.messages()) seen.push(String.fromCharCode(type));
        if (seen.at(-1) === "Z") resolve();
        return true;
      },
    });
    connection.socket.resume();
    connection.socket.write(encodeQuery(Buffer.from("SELECT repeat('x', 100000) FROM generate_series(1, 3)")));
    await promise;
    connection.socket.destroy();
    expect(seen.join("")).toBe("TDDDCZ");
  });
});
