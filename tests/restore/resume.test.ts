// A restore into a scratch database that is interrupted and taken up again: at named steps and at random moments all its
// connections are cut, or the server crashes, or the command is killed; the end must be that of one that was let alone.

import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { ArchiveContents } from "../../src/archive/index.ts";
import { openSession, resolveConnection, type Session } from "../../src/postgres/index.ts";
import {
  identifyRestore,
  planScratch,
  runScratch,
  type ScratchPlan,
  type ScratchResult,
} from "../../src/restore/index.ts";
import { RestoreRecord } from "../../src/restore/restore-record.ts";
import { FaultBench, sessionsIn, until } from "../faults/support.ts";
import { ownServer, type TestDatabase } from "../support/servers.ts";
import { CuttingWay, type Cut } from "./cutting-way.ts";
import {
  databaseText,
  dumpArchive,
  openArchive,
  server,
  temporaryFolder,
  type OpenArchive,
  type TestServer,
} from "./support.ts";

const isFull = process.env["CAIRN_TEST_MATRIX"] === "full";
const RANDOM_MOMENTS = isFull ? 60 : 6;
const MAJOR = 18;
const BIG_BYTES = 100 * 1024 * 1024;

const FILL = `
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('new', 'paid');
CREATE FUNCTION shop.next_number() RETURNS int LANGUAGE sql AS 'SELECT 7';
CREATE TABLE shop.big (id int PRIMARY KEY, text text);
INSERT INTO shop.big SELECT i, repeat(md5(i::text), 40) FROM generate_series(1, 10000) AS i;
CREATE INDEX ON shop.big (text);
CREATE TABLE shop.small (id int GENERATED ALWAYS AS IDENTITY, state shop.state DEFAULT 'new', n int DEFAULT shop.next_number());
INSERT INTO shop.small (state) SELECT 'paid' FROM generate_series(1, 100);
ALTER TABLE shop.small ADD CHECK (n > 0), ADD UNIQUE (id);
CREATE UNLOGGED TABLE shop.quick (id serial, text text);
INSERT INTO shop.quick (text) SELECT i::text FROM generate_series(1, 500) AS i;
CREATE INDEX ON shop.quick (text);
CREATE TABLE shop."odd ""name\\" (a int) PARTITION BY RANGE (a);
CREATE TABLE shop.part_1 PARTITION OF shop."odd ""name\\" FOR VALUES FROM (0) TO (100);
CREATE TABLE shop.part_2 PARTITION OF shop."odd ""name\\" FOR VALUES FROM (100) TO (200);
INSERT INTO shop."odd ""name\\" SELECT generate_series(0, 199);
CREATE INDEX ON shop."odd ""name\\" (a);
CREATE TABLE shop.empty (a int UNIQUE);
CREATE MATERIALIZED VIEW shop.totals AS SELECT state, count(*) FROM shop.small GROUP BY state;
CREATE VIEW shop.paid AS SELECT * FROM shop.small WHERE state = 'paid';
COMMENT ON TABLE shop.big IS 'the big one';`;

let pg: TestServer;
let archive: OpenArchive;
let expected: { schema: string; content: string };
const disposables = new AsyncDisposableStack();

beforeAll(async () => {
  pg = await server(MAJOR);
  const source = disposables.use(await pg.createDatabase());
  await source.psql(FILL);
  const folder = disposables.use(await temporaryFolder());
  archive = disposables.use(await openArchive(await dumpArchive(source, join(folder.path, "shop.dump"), ["-Z0"])));
  expected = await databaseText(pg, source.name);
});
afterAll(() => disposables.disposeAsync());

interface Trial {
  readonly plan: ScratchPlan;
  readonly target: TestServer;
}

function trial(target = pg, jobs = 3): Trial {
  const databaseName = `resume_${Math.random().toString(36).slice(2)}`;
  const big = archive.contents.toc.entries.find(
    ({ description, tag }) => description === "TABLE DATA" && tag === "big",
  );
  const sizes = new Map([[big?.dumpId ?? 0, BIG_BYTES]]);
  const request = { databaseName, schemas: ["shop"], jobs };
  return { plan: planScratch(archive.contents.toc, request, { version: MAJOR * 10_000, sizes }), target };
}

/** Runs a restore by a way of its own; how it ended, and how many pieces went that way. */
async function run(
  { plan, target }: Trial,
  cut: Cut | null,
  options: { readonly resumes?: boolean; readonly identity?: { origin: string; fingerprint: string } } = {},
): Promise<{ result: ScratchResult | null; error: Error | null; count: number }> {
  await using way = await CuttingWay.open(target.port, cut);
  const settings = await settingsOf(target, way.port);
  const identity = identifyRestore(plan.plan, archive.contents.toc, new Map(), null);
  const connecting = { identity, ...options };
  const joined = Promise.withResolvers<void>();
  if ((plan.plan.options.jobs ?? 1) === 1) joined.resolve();
  const running = runScratch(bigWaitingFor(Promise.race([joined.promise, way.whenCut])), plan, {
    ...connecting,
    onEvent: (event) => {
      if (event.kind === "worker joined") joined.resolve();
    },
    connect: (database, signal) => openSession({ ...settings, database: database ?? "postgres" }, { signal }),
  });
  const [result, error] = await running.then(
    (value) => [value, null] as const,
    (reason: unknown) => [null, reason as Error] as const,
  );
  return { result, error, count: way.count };
}

/** The archive, whose big table has no end before a second connection takes part, or all are cut. */
function bigWaitingFor(joined: Promise<void>): ArchiveContents {
  const contents = Object.create(archive.contents) as ArchiveContents;
  contents.tableData = async function* (entry, signal): ReturnType<ArchiveContents["tableData"]> {
    const aborted = new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve(), { once: true }));
    for await (const piece of archive.contents.tableData(entry, signal)) {
      yield piece;
      if (entry.tag === "big") await Promise.race([joined, aborted]);
    }
  };
  return contents;
}

async function settingsOf(target: TestServer, port: number): ReturnType<typeof resolveConnection> {
  const source = `host=127.0.0.1 port=${port} user=postgres dbname=postgres`;
  return await resolveConnection({ source, environment: {}, homeDirectory: "/nonexistent", userName: target.user });
}

async function namesOf({ plan, target }: Trial): Promise<string[]> {
  const text = await target.psql(
    "postgres",
    `SELECT datname FROM pg_database WHERE datname LIKE '${plan.databaseName}%'`,
  );
  return text === "" ? [] : text.split("\n");
}

async function drop({ plan, target }: Trial): Promise<void> {
  for (const name of [plan.databaseName, plan.incompleteName])
    await target.psql("postgres", `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
}

const RELATIONS = "SELECT oid, relname FROM pg_class WHERE relnamespace = to_regnamespace('shop') ORDER BY oid";

/** Goes on with whatever is there, and looks at the end. Says how many entries were taken over. */
async function goOn(one: Trial): Promise<number> {
  const [name] = await namesOf(one);
  // Cut off before the database was made, or before its record began: then there is nothing to go on with.
  const before = name === undefined ? "" : await one.target.psql(name, RELATIONS);
  const isOver = name === one.plan.databaseName && (await recordsIn(one, name)) === "";
  if (!isOver) {
    const { result, error } = await run(one, null, { resumes: name !== undefined });
    if (error !== null) throw error;
    expect(result).toMatchObject({ database: one.plan.databaseName, restore: { isComplete: true, entriesFailed: [] } });
    expect(result?.restore.rowsByTable.reduce((sum, { rows }) => sum + rows, 0)).toBe(10_000 + 100 + 500 + 200);
    await expectEnd(one);
    // Nothing that was there was made again.
    const after = await one.target.psql(one.plan.databaseName, RELATIONS);
    for (const line of before.split("\n")) expect(after).toContain(line);
    return result?.takenOverCount ?? 0;
  }
  await expectEnd(one);
  return 0;
}

async function recordsIn({ target }: Trial, name: string): Promise<string> {
  return await target.psql(name, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'cairn%'");
}

async function expectEnd(one: Trial): Promise<void> {
  expect(await namesOf(one)).toEqual([one.plan.databaseName]);
  const text = await databaseText(one.target, one.plan.databaseName);
  expect(text.schema).toBe(expected.schema);
  expect(text.content === expected.content, "the rows are those of the source").toBe(true);
}

test("runScratch() leaves no record behind", async () => {
  const one = trial();
  try {
    const { result, error } = await run(one, null);
    expect(error).toBeNull();
    expect(result?.restore.rowsByTable.find(({ table }) => table === "big")?.connectionCount).toBeGreaterThan(1);
    await expectEnd(one);
  } finally {
    await drop(one);
  }
});

test.each<[string, Cut]>([
  ["before the database is made", { text: "CREATE DATABASE", count: 1 }],
  ["when it is made", { text: "CREATE DATABASE", count: 1, arrives: true }],
  ["before the record begins", { text: "CREATE SCHEMA", count: 1 }],
  ["when the record has begun", { text: "CREATE SCHEMA", count: 1, arrives: true }],
  ["before a table is made", { text: "CREATE TABLE shop.small", count: 1 }],
  ["when a table is made", { text: "CREATE TABLE shop.small", count: 1, arrives: true }],
  ["before the big table is loaded", { text: "COPY shop.big", count: 1 }],
  ["while two connections load it", { text: "COPY shop.big", count: 2, arrives: true }],
  ["before the first connection commits it", { text: "COMMIT", count: 1 }],
  ["when one connection has committed", { text: "COMMIT", count: 1, arrives: true }],
  ["when another one has", { text: "COMMIT", count: 2, arrives: true }],
  ["before an index is made", { text: "CREATE INDEX", count: 1 }],
  ["when an index is made", { text: "CREATE INDEX", count: 2, arrives: true }],
  ["before the view is filled", { text: "REFRESH MATERIALIZED VIEW", count: 1 }],
  ["before it gets its name", { text: "ALTER DATABASE", count: 1 }],
  ["when it has its name", { text: "ALTER DATABASE", count: 1, arrives: true }],
  ["before the record ends", { text: "DROP SCHEMA", count: 1 }],
  ["when the record has ended", { text: "DROP SCHEMA", count: 1, arrives: true }],
])("runScratch() goes on after it was cut off %s", async (_step, cut) => {
  const one = trial();
  try {
    const { error } = await run(one, cut);
    expect(error).not.toBeNull();
    await goOn(one);
  } finally {
    await drop(one);
  }
});

test(`runScratch() goes on after ${RANDOM_MOMENTS} random moments, and when that is cut off, too`, async () => {
  const whole = trial();
  const { count } = await run(whole, null);
  await drop(whole);
  const takenOver: string[] = [];
  for (let moment = 0; moment < RANDOM_MOMENTS; moment += 1) {
    const at = Math.floor(((moment + Math.random()) / RANDOM_MOMENTS) * count);
    const one = trial(pg, 1 + (moment % 4));
    try {
      await run(one, { count: Math.max(1, at) });
      const isMade = (await namesOf(one)).includes(one.plan.incompleteName);
      if (isMade) await run(one, { count: 10 + Math.floor(Math.random() * 40) }, { resumes: true });
      takenOver.push(`${at}: ${await goOn(one)}`);
    } catch (error) {
      throw new Error(`cut at ${at} of ${count}`, { cause: error });
    } finally {
      await drop(one);
    }
  }
  process.stdout.write(`resume: pieces sent before the cut, and entries taken over: ${takenOver.join(", ")}\n`);
  expect(takenOver.some((text) => !text.endsWith(": 0"))).toBe(true);
});

test("runScratch() goes on after the server has crashed, which empties unlogged tables", async () => {
  await using own = await ownServer(MAJOR);
  const one = trial(own);
  const { error } = await run(one, { text: "REFRESH MATERIALIZED VIEW", count: 1 });
  expect(error).not.toBeNull();
  const quick = "SELECT count(*) FROM shop.quick";
  expect(await own.psql(one.plan.incompleteName, quick)).toBe("500");
  await own.psql("postgres", "SELECT pg_switch_wal()"); // what was committed without waiting is written
  await own.stop("immediate");
  await own.start();
  expect(await own.psql(one.plan.incompleteName, quick)).toBe("0");
  expect(await goOn(one)).toBeGreaterThan(5);
});

describe("runScratch() with what cannot be taken up", () => {
  const refused = async (
    one: Trial,
    resumes: boolean,
    identity?: { origin: string; fingerprint: string },
  ): Promise<unknown> => {
    return (await run(one, null, { resumes, ...(identity === undefined ? {} : { identity }) })).error;
  };

  test("another restore point, other tables, nothing at all, a database that is no restore's", async () => {
    const one = trial();
    try {
      expect(await refused(one, true)).toMatchObject({
        code: "usage",
        message: /^there is no database ".*_incomplete"/,
      });
      await run(one, { text: "CREATE INDEX", count: 1 });
      expect(await refused(one, false)).toMatchObject({ code: "target_not_empty", hint: /--resume goes on/ });
      const identity = identifyRestore(one.plan.plan, archive.contents.toc, new Map(), null);
      expect(await refused(one, true, { ...identity, origin: "20260101" })).toMatchObject({
        code: "usage",
        message: /^the interrupted restore is not this one: it is of archive of/,
        detail: "This one is of 20260101.",
      });
      const request = { databaseName: one.plan.databaseName, tables: ["shop.small"] };
      const other = { ...one, plan: planScratch(archive.contents.toc, request, { version: MAJOR * 10_000 }) };
      expect(await refused(other, true)).toMatchObject({ code: "usage", detail: /tables, its options/ });
      await pg.psql(one.plan.incompleteName, "DROP SCHEMA cairn_restore CASCADE");
      expect(await refused(one, true)).toMatchObject({ code: "target_not_empty", message: /has no record/ });
    } finally {
      await drop(one);
    }
  });

  test("a restore that is at work", async () => {
    const one = trial();
    const database = await pg.createDatabase();
    try {
      const open = async (): Promise<Session> =>
        await openSession({ ...(await settingsOf(pg, pg.port)), database: database.name });
      await using working = await open();
      const identity = identifyRestore(one.plan.plan, archive.contents.toc, new Map(), null);
      await new RestoreRecord(working, "cairn_restore").begin(identity);
      await using second = await open();
      const taking = new RestoreRecord(second, "cairn_restore", 200).takeUp(one.plan.plan, identity);
      const pid = working.connection.processId;
      await expect(taking).rejects.toMatchObject({ code: "locked", detail: `Its server processes: ${pid}.` });
    } finally {
      await database[Symbol.asyncDispose]();
    }
  });

  test("entries that failed are told again, and not tried again", async () => {
    const { plan, target } = trial();
    const parallel = plan.plan.parallel.map((task) =>
      task.entry.tag === "small small_id_key"
        ? { ...task, statements: [{ purpose: "definition", sql: "ALTER TABLE x;" } as const] }
        : task,
    );
    const one: Trial = { plan: { ...plan, plan: { ...plan.plan, parallel } }, target };
    try {
      const { error } = await run(one, { text: "REFRESH MATERIALIZED VIEW", count: 1 });
      expect(error).toMatchObject({
        detail: /holds what was restored so far\. --resume goes on with it, or drop it: DROP DATABASE/,
      });
      const { result } = await run(one, null, { resumes: true });
      expect(result?.restore).toMatchObject({ isComplete: false, entriesFailed: [{ tag: "small small_id_key" }] });
      expect(result?.restore.entriesFailed[0]?.errors[0]?.message).toContain("syntax error");
      expect(await namesOf(one)).toEqual([plan.incompleteName]);
      expect(await recordsIn(one, plan.incompleteName)).toBe("");
    } finally {
      await drop(one);
    }
  });
});

describe("cairn restore --resume", () => {
  let bench: FaultBench;
  let source: TestDatabase;
  let id = "";

  beforeAll(async () => {
    bench = disposables.use(await FaultBench.create());
    source = disposables.use(await pg.createDatabase());
    await source.psql(FILL);
    await source.psql(
      "INSERT INTO shop.big SELECT i, repeat(md5(i::text), 40) FROM generate_series(10001, 40000) AS i",
    );
    ({ id } = await bench.backup(source.uri, ["--lineage", "resumed"]));
  });

  test.each(["while rows arrive", "while an index is built"])("after the command was killed %s", async (moment) => {
    const name = `killed_${Math.random().toString(36).slice(2)}`;
    const words = ["restore", id, "--to", pg.uri("postgres"), "-n", "shop", `--scratch=${name}`, "--jobs", "2"];
    try {
      const running = bench.start(words);
      const what = moment === "while rows arrive" ? "COPY" : "CREATE INDEX";
      const seen = `SELECT count(*) FROM pg_stat_activity WHERE datname = '${name}_incomplete' AND state = 'active' AND query ~ '${what} .*big'`;
      await until(`${what} runs`, async () => (await pg.psql("postgres", seen)) !== "0");
      running.child.kill("SIGKILL");
      await running.ended;
      const outcome = await bench.start([...words, "--resume", "--json"]).ended;
      expect([outcome.status, outcome.errors]).toEqual([0, expect.any(String)]);
      expect(outcome.json()).toMatchObject({ database: name, isComplete: true, rowCount: 40_800 });
      expect(outcome.json().entriesTakenOver).toBeGreaterThan(3);
      const [one, other] = await Promise.all([source.name, name].map((database) => databaseText(pg, database)));
      expect(other?.schema).toBe(one?.schema);
      expect(other?.content === one?.content).toBe(true);
    } finally {
      await until("no session is left", async () => (await sessionsIn(pg, `${name}_incomplete`)) === 0);
      for (const database of [name, `${name}_incomplete`])
        await pg.psql("postgres", `DROP DATABASE IF EXISTS ${database}`);
    }
  });

  test("is refused where there is no scratch database", async () => {
    const outcome = await bench.start(["restore", id, "--to", pg.uri("postgres"), "--resume"]).ended;
    expect(outcome.status).toBe(2);
    expect(outcome.errors).toContain("option --resume is for a restore into a scratch database");
  });
});
