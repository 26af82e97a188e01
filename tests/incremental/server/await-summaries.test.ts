// awaitSummaries() on servers of our own: what ends a wait, and what it leaves behind; and a standby, where a checkpoint
// asked for brings nothing.

import { connect, createServer, type AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";

import {
  awaitSummaries,
  parseLsn,
  readCheckpoint,
  readPosition,
  readServerSupport,
} from "../../../src/incremental/index.ts";
import type { AwaitSummariesOptions } from "../../../src/incremental/index.ts";
import type { Session } from "../../../src/postgres/index.ts";
import { ownServer, runAsServerUser } from "../../support/servers.ts";
import type { OwnServer } from "../../support/servers.ts";
import { known, sessionOn, signal } from "./support.ts";

let pg: OwnServer;
let session: Session;

beforeAll(async () => {
  pg = await ownServer(18, { settings: { autovacuum: "off" } });
  session = await sessionOn(pg.uri("postgres"));
});
afterAll(async () => {
  await session.close();
  await pg[Symbol.asyncDispose]();
});

/** Options for all that has been written by now, and a little more. */
async function untilNow(options: Partial<AwaitSummariesOptions> = {}): Promise<AwaitSummariesOptions> {
  await session.query("SELECT pg_current_xact_id()");
  const untilLsn = parseLsn((await session.query("SELECT pg_current_wal_insert_lsn()")).value!)!;
  return { timeline: 1, untilLsn, mode: "now", limitMs: 60_000, signal, ...options };
}

test("awaitSummaries() makes a checkpoint only when it is asked for one and needs it", async () => {
  const options = await untilNow();
  const short = await awaitSummaries(session, { ...options, mode: "wait", limitMs: 300 });
  expect(short).toMatchObject({ kind: "not-reached", isCheckpointMade: false });
  expect(short.kind === "not-reached" && short.reason).toMatch(
    /^no WAL summary reached [0-9A-F]+\/[0-9A-F]+ in 0\.3 s$/,
  );
  expect(short.waitedMs).toBeGreaterThanOrEqual(299);
  expect(short.waitedMs).toBeLessThan(10_000);
  const made = await awaitSummaries(session, options);
  expect(made).toMatchObject({ kind: "reached", isCheckpointMade: true });
  expect(known(await readCheckpoint(session, signal)).redoLsn).toBeGreaterThanOrEqual(options.untilLsn);
  expect(await awaitSummaries(session, options)).toMatchObject({ kind: "reached", isCheckpointMade: false });
  // Of another timeline nothing is there.
  const other = await awaitSummaries(session, { ...options, timeline: 2, mode: "wait", limitMs: 200 });
  expect(other.kind).toBe("not-reached");
});

test("awaitSummaries() in mode wait is ended by somebody else's checkpoint", async () => {
  await using second = await sessionOn(pg.uri("postgres"));
  const waiting = awaitSummaries(session, await untilNow({ mode: "wait" }));
  await delay(200);
  await second.query("CHECKPOINT");
  expect(await waiting).toMatchObject({ kind: "reached", isCheckpointMade: false });
});

test("awaitSummaries() has an idle server find something to make a checkpoint for", async () => {
  const options = await untilNow({ mode: "wait", limitMs: 200 });
  await session.query("CHECKPOINT");
  const insertLsn = async (): Promise<string> => (await session.query("SELECT pg_current_wal_insert_lsn()")).value!;
  const before = parseLsn(await insertLsn())!;
  await awaitSummaries(session, { ...options, untilLsn: before });
  expect(parseLsn(await insertLsn())!).toBeGreaterThan(before);
});

test("awaitSummaries() throws the signal's reason and leaves the session usable", async () => {
  const abort = new AbortController();
  const waiting = awaitSummaries(session, await untilNow({ mode: "wait", signal: abort.signal }));
  setTimeout(() => abort.abort(new Error("stopped by the user")), 100);
  await expect(waiting).rejects.toThrow("stopped by the user");
  expect((await session.query("SELECT 1")).value).toBe("1");
});

test("awaitSummaries() ends at its limit when its connection falls silent, and tells of one that is lost", async () => {
  let isSilent = false;
  const between = createServer((socket) => {
    const onward = connect(pg.port, "127.0.0.1").on("error", () => {});
    onward.on("data", (bytes) => void (isSilent || socket.write(bytes))).on("close", () => socket.destroy());
    socket.on("data", (bytes) => void (isSilent || onward.write(bytes))).on("close", () => onward.destroy());
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => between.listen(0, "127.0.0.1", resolve));
  try {
    const uri = pg.uri("postgres").replace(`:${pg.port}/`, `:${(between.address() as AddressInfo).port}/`);
    const silenced = await sessionOn(uri);
    const options = await untilNow({ mode: "wait", limitMs: 500 });
    const waiting = awaitSummaries(silenced, options);
    setTimeout(() => (isSilent = true), 200);
    expect(await waiting).toMatchObject({
      kind: "not-reached",
      reason: expect.stringMatching(/^no WAL summary reached/),
    });
  } finally {
    between.close();
  }
  const lost = await sessionOn(pg.uri("postgres"));
  const pid = (await lost.query("SELECT pg_backend_pid()")).value;
  const waiting = awaitSummaries(lost, await untilNow({ mode: "wait" }));
  await delay(100);
  await session.query(`SELECT pg_terminate_backend(${pid})`);
  expect(await waiting).toMatchObject({
    kind: "not-reached",
    reason: expect.stringMatching(/^waiting for the WAL summaries failed: lost the connection/),
  });
});

test("awaitSummaries() gives up a summarizer that stands still", async () => {
  const options = await untilNow({ stallMs: 600 });
  const pid = Number(
    (await session.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsummarizer'")).value,
  );
  process.kill(pid, "SIGSTOP");
  try {
    const stuck = await awaitSummaries(session, options);
    expect(stuck).toMatchObject({ kind: "not-reached", isCheckpointMade: true });
    expect(stuck.kind === "not-reached" && stuck.reason).toMatch(/^the WAL summarizer has done nothing for/);
  } finally {
    process.kill(pid, "SIGCONT");
  }
  expect(await awaitSummaries(session, { ...options, mode: "wait" })).toMatchObject({ kind: "reached" });
});

test("awaitSummaries() and readServerSupport() say that summarize_wal or fsync is off", async () => {
  const set = async (setting: string, value: string): Promise<void> => {
    await session.query(`ALTER SYSTEM SET ${setting} = ${value}`);
    await session.query("SELECT pg_reload_conf()");
    while ((await session.query(`SHOW ${setting}`)).value !== value) await delay(10);
  };
  await set("summarize_wal", "off");
  const off = await awaitSummaries(session, await untilNow());
  expect(off).toMatchObject({ kind: "not-reached", reason: "summarize_wal is off", isCheckpointMade: false });
  expect(await readServerSupport(session, signal)).toEqual({ kind: "unsupported", reason: "summarize_wal is off" });
  await set("summarize_wal", "on");
  await set("fsync", "off");
  expect(await readServerSupport(session, signal)).toMatchObject({
    kind: "unsupported",
    reason: expect.stringMatching(/^fsync is off/),
  });
  await set("fsync", "on");
  expect(await readServerSupport(session, signal)).toEqual({ kind: "supported" });
});

test("on a standby, the timeline is the receiver's and only the primary's checkpoints end summaries", async () => {
  const source = `host=127.0.0.1 port=${pg.port} user=postgres`;
  await using standby = await ownServer(18, {
    settings: { primary_conninfo: source },
    fillDataDirectory: async (folder) => {
      await runAsServerUser(pg.tools.pgBasebackup, ["-D", folder, "-R", "-X", "stream", "-c", "fast", "-d", source]);
    },
  });
  await pg.psql("postgres", "CREATE ROLE plain LOGIN; CREATE ROLE watcher LOGIN; GRANT pg_read_all_stats TO watcher");
  const options = await untilNow();
  await using reader = await sessionOn(standby.uri("postgres"));
  const replayed = async (): Promise<string> => (await reader.query("SELECT pg_last_wal_replay_lsn()")).value!;
  while (parseLsn(await replayed())! < options.untilLsn) await delay(10);
  const snapshot = {
    xmin: 5n,
    xmax: 6n,
    lsn: await replayed(),
    isStandby: true,
    databaseOid: 5,
    systemIdentifier: 7n,
  };
  await using watcher = await sessionOn(standby.uri("postgres", { user: "watcher" }));
  expect(known(await readPosition(watcher, snapshot, signal))).toMatchObject({ timeline: 1, hostRole: "standby" });
  await using plain = await sessionOn(standby.uri("postgres", { user: "plain" }));
  expect(await readPosition(plain, snapshot, signal)).toMatchObject({
    kind: "unknown",
    reason: expect.stringContaining("pg_read_all_stats"),
  });
  const vain = await awaitSummaries(reader, { ...options, limitMs: 300 });
  expect(vain).toMatchObject({ kind: "not-reached", isCheckpointMade: false });
  expect(vain.kind === "not-reached" && vain.reason).toContain("only the primary's does");
  const waiting = awaitSummaries(reader, options);
  await session.query("CHECKPOINT");
  expect(await waiting).toMatchObject({ kind: "reached", isCheckpointMade: false });

  // Promoted, with everything of the next minutes still to be checkpointed: the WAL's name tells first.
  await reader.query("SELECT pg_promote()");
  expect((await readPosition(reader, snapshot, signal)).kind).toBe("unknown");
  expect(known(await readPosition(reader, { ...snapshot, isStandby: false }, signal))).toMatchObject({
    timeline: 2,
    hostRole: "primary",
  });
  const beyond = { ...options, untilLsn: options.untilLsn + 0x10_0000_0000n };
  expect(await awaitSummaries(reader, beyond)).toMatchObject({
    kind: "not-reached",
    reason: "the server has gone over to another timeline",
  });
});
