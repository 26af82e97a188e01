// Rules left out, one after another, in histories made for them: with the rules no segment is wrong, without one of them
// some are. Random histories find some of these seldom or never. The table is in docs/formats/incremental.md.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { awaitSummaries, parseLsn } from "../../../src/incremental/index.ts";
import type { Major } from "../../support/servers.ts";
import type { Comparison } from "./judgement.ts";
import { signal, type RunSessions } from "./reading.ts";
import { outcomeOf, takePoint, type OutcomeOptions } from "./scenario.ts";
import { connect, DATABASE, World } from "./world.ts";

const isFull = process.env["CAIRN_TEST_INCREMENTAL"] === "full";
const majors: readonly Major[] = isFull ? [17, 18] : [18];

/** Times that a crash may come too late to lose a commit. */
const CRASH_ATTEMPT_COUNT_MAX = 10;

/** Transaction ids that such a crash makes be given out again. */
const LOST_ID_COUNT = 40;

describe.each(majors)("PostgreSQL %i", (major) => {
  let world: World;

  beforeAll(async () => {
    world = await World.open(major, { autovacuum: "off", checkpoint_timeout: "1h" });
  });
  afterAll(() => world[Symbol.asyncDispose]());
  beforeEach(async () => {
    await world.closeSessions(); // with what a failed test left open
    await run("SET lock_timeout TO '10s'; DROP SCHEMA public CASCADE; CREATE SCHEMA public");
  });

  /** Statements one after another, each for itself. */
  const run = async (sql: string, name = "worker"): Promise<void> => {
    const session = await world.session(name);
    for (const statement of sql.split(";")) await session.query(statement);
  };

  const oidOf = async (name: string): Promise<number> => {
    const session = await world.session("worker");
    return Number((await session.query(`SELECT '${name}'::pg_catalog.regclass::pg_catalog.oid`)).value);
  };

  const sessions = async (): Promise<RunSessions> => ({
    holder: await world.session("holder"),
    second: await world.session("control"),
  });

  /** Forty blocks of ten rows, frozen, so that reading them touches nothing; then a checkpoint. */
  const makeTable = async (name = "item", columns = ""): Promise<void> => {
    await run(`CREATE TABLE ${name} (id int, v int, pad text ${columns}) WITH (autovacuum_enabled = off)`);
    await run(`INSERT INTO ${name} SELECT g, 0, pg_catalog.repeat('x', 750) FROM generate_series(1, 400) g`);
    await run(`VACUUM (FREEZE) ${name}`);
    await run("CHECKPOINT");
  };

  /** With all rules nothing is wrong; without these, something is. */
  const expectWrongWithout = async (
    parent: Awaited<ReturnType<typeof takePoint>>,
    options: OutcomeOptions,
  ): Promise<Awaited<ReturnType<typeof outcomeOf>>> => {
    const outcome = await outcomeOf(await sessions(), parent, options);
    expect(outcome.kept.wrong).toEqual([]);
    expect(outcome.leftOut.wrong, `without ${options.without.join(", ")}; read: ${outcome.reasons}`).not.toEqual([]);
    return outcome;
  };

  test("nothing changed: everything is taken over", async () => {
    await makeTable();
    const parent = await takePoint(await sessions());
    const { kept } = await outcomeOf(await sessions(), parent, { without: [] });
    // Ten segments of the table, and the large objects.
    expect(kept).toEqual({ takenOverCount: 11, wrong: [] });
  });

  test.each(["base is the snapshot's LSN", "base by xmax"] as const)(
    "%s: a transaction wrote before the snapshot and committed after it",
    async (rule) => {
      await makeTable();
      const before = await takePoint(await sessions());
      await run("BEGIN; UPDATE item SET v = 1 WHERE ctid = '(20,1)'", "slow");
      await run("CHECKPOINT; CHECKPOINT");
      await run("CREATE TABLE later (a int)"); // a later id that has ended
      const between = (): Promise<void> => run("SELECT pg_catalog.pg_logical_emit_message(false, '', '')");
      const parent = await takePoint(await sessions(), { parent: before, between });
      await run("COMMIT", "slow");
      await expectWrongWithout(parent, { without: [rule] });
    },
  );

  test("summaries not waited for: the change is in WAL that no file covers yet", async () => {
    await makeTable();
    const parent = await takePoint(await sessions());
    await run("UPDATE item SET v = 1 WHERE ctid = '(20,1)'");
    await expectWrongWithout(parent, { without: ["summaries not waited for"] });
  });

  test("gap ignored: the file with the change was removed", async () => {
    await makeTable();
    const parent = await takePoint(await sessions());
    const folder = join(world.server.dataDirectory, "pg_wal/summaries");
    await run("CHECKPOINT");
    const before = new Set(await readdir(folder));
    await run("UPDATE item SET v = 1 WHERE ctid = '(20,1)'");
    await untilSummarized();
    for (const name of await readdir(folder)) if (!before.has(name)) await rm(join(folder, name));
    await expectWrongWithout(parent, { without: ["gap ignored"] });
  });

  const untilSummarized = async (): Promise<void> => {
    const control = await world.session("control");
    const { rows } = await control.query("SELECT pg_catalog.pg_current_wal_insert_lsn()");
    const untilLsn = parseLsn(rows[0]![0]!)!;
    const wait = await awaitSummaries(control, { timeline: 1, untilLsn, mode: "now", limitMs: 60_000, signal });
    expect(wait).toMatchObject({ kind: "reached" });
  };

  /** Gives out transaction ids. */
  const takeIds = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index += 1) await run("SELECT pg_catalog.pg_current_xact_id()");
  };

  /** An unsealed restore point that saw a commit which a crash then undid; block 20 has it, and it is in no WAL after the base. */
  const pointWithLostCommit = async (): Promise<Awaited<ReturnType<typeof takePoint>>> => {
    for (let attempt = 1; attempt <= CRASH_ATTEMPT_COUNT_MAX; attempt += 1) {
      await run(`DROP TABLE IF EXISTS item`);
      await makeTable();
      await run("SET synchronous_commit TO off; BEGIN; UPDATE item SET v = 1 WHERE ctid = '(20,1)'");
      const worker = await world.session("worker");
      const xid = (await worker.query("SELECT pg_catalog.pg_current_xact_id()")).rows[0]![0]!;
      await run("CHECKPOINT; CHECKPOINT", "control");
      await run("COMMIT");
      // Later ids: the snapshot's xmin is above what the server gives out after the crash.
      await takeIds(LOST_ID_COUNT);
      const point = await takePoint(await sessions(), { awaits: false });
      await world.restart("immediate");
      // Without a look at the rows, which would touch them.
      const status = await world.server.psql(DATABASE, `SELECT pg_catalog.pg_xact_status('${xid}')`);
      if (status === "aborted") return point;
    }
    throw new Error("no crash lost the commit");
  };

  test("no seal: a crash undid a commit that the parent saw", async () => {
    const parent = await pointWithLostCommit();
    await takeIds(2 * LOST_ID_COUNT); // by its xmin and its LSN the parent looks older
    await run("CREATE TABLE filler AS SELECT pg_catalog.repeat('x', 500) FROM generate_series(1, 1000)");
    const { leftOut } = await expectWrongWithout(parent, { without: ["no seal"] });
    expect(leftOut.wrong.map((place) => place.split("/")[1])).toContain("5");
  });

  test("redo beyond the snapshot's LSN: ids that were given out again make a later checkpoint look old", async () => {
    const parent = await pointWithLostCommit();
    await run("CREATE TABLE filler AS SELECT pg_catalog.repeat('x', 500) FROM generate_series(1, 1000)");
    await run("UPDATE item SET v = 2 WHERE ctid = '(30,1)'; CHECKPOINT; CHECKPOINT");
    await takeIds(2 * LOST_ID_COUNT);
    const without = ["no seal", "redo beyond the snapshot's LSN"] as const;
    const outcome = await expectWrongWithout(parent, { without, otherWithout: ["no seal"] });
    const segments = ({ wrong }: Comparison): (string | undefined)[] => wrong.map((place) => place.split("/")[1]);
    expect(segments(outcome.leftOut), "block 30 changed before the base that was chosen").toContain("7");
    expect(segments(outcome.otherLeftOut)).not.toContain("7");
  });

  test("no seal: the data folder was put back to an older copy and worked on past the parent", async () => {
    await makeTable();
    await world.stop("fast");
    await world.keepCopy("older");
    await world.start();
    await run("UPDATE item SET v = 1 WHERE ctid = '(20,1)'; CHECKPOINT");
    const parent = await takePoint(await sessions());
    await world.stop("fast");
    await world.putBack("older");
    await world.start();
    await run("CREATE TABLE filler AS SELECT pg_catalog.repeat('x', 500) FROM generate_series(1, 2000); CHECKPOINT");
    await expectWrongWithout(parent, { without: ["no seal"] });
  });

  test("filenode 0 ignored: the database was moved, changed, and moved back", async () => {
    await makeTable();
    const parent = await takePoint(await sessions());
    const move = async (tablespace: string): Promise<void> => {
      await world.closeSessions();
      await (
        await world.session("outside", "postgres")
      ).query(`ALTER DATABASE ${DATABASE} SET TABLESPACE ${tablespace}`);
    };
    await move("far");
    await run("UPDATE item SET v = 1 WHERE ctid = '(20,1)'");
    await move("pg_default");
    await expectWrongWithout(parent, { without: ["filenode 0 ignored"] });
  });

  test("limit blocks ignored: the tail was cut off, and COPY extended the file by more pages than it filled", async () => {
    await makeTable();
    const file = join(world.server.socketDirectory, "rows");
    await run(`COPY (SELECT g, 0, pg_catalog.repeat('y', 750) FROM generate_series(1, 400) g) TO '${file}'`);
    await run("INSERT INTO item SELECT * FROM item; VACUUM (FREEZE) item; CHECKPOINT");
    const parent = await takePoint(await sessions(), { segmentBlockCount: 1 });
    await run("DELETE FROM item WHERE ctid >= '(8,0)'; VACUUM (TRUNCATE) item");
    await run(`COPY item FROM '${file}'`);
    const pages = await world.server.psql(
      DATABASE,
      "SELECT pg_relation_size('item') / 8192 - 1 - max((ctid::text::point)[0]) FROM item",
    );
    expect(Number(pages), "pages without rows at the end").toBeGreaterThan(1);
    await expectWrongWithout(parent, { without: ["limit blocks ignored"], segmentBlockCount: 1 });
  });

  test("file not compared: two tables exchanged their names, and a parent that goes by names", async () => {
    await makeTable("item");
    await makeTable("other");
    await run("UPDATE other SET v = id; VACUUM (FREEZE) other; CHECKPOINT");
    const parent = await takePoint(await sessions());
    const [item, other] = [await oidOf("item"), await oidOf("other")];
    const exchanged = <T>(map: ReadonlyMap<number, T>): Map<number, T> =>
      new Map([
        [item, map.get(other)!],
        [other, map.get(item)!],
      ]);
    await run("ALTER TABLE item RENAME TO aside; ALTER TABLE other RENAME TO item; ALTER TABLE aside RENAME TO other");
    const shapes = new Map([...exchanged(parent.shapes)].map(([oid, shape]) => [oid, { ...shape, oid }]));
    const byName = { ...parent, shapes, hashes: exchanged(parent.hashes) };
    await expectWrongWithout(byName, { without: ["file not compared"] });
    const { kept } = await outcomeOf(await sessions(), parent, { without: [] });
    expect(kept, "by OID, nothing changed").toMatchObject({ wrong: [] });
    expect(kept.takenOverCount).toBeGreaterThan(0);
  });

  test("unlogged ignored: what is not in the WAL is in no summary", async () => {
    await makeTable();
    await run("CREATE UNLOGGED TABLE quick AS SELECT * FROM item; VACUUM (FREEZE) quick; CHECKPOINT");
    const parent = await takePoint(await sessions());
    await run("UPDATE quick SET v = 1 WHERE ctid = '(20,1)'");
    await expectWrongWithout(parent, { without: ["unlogged ignored"] });
  });

  test("columns not compared: a column was dropped and one of the same name and type added", async () => {
    await makeTable("item", ", b int DEFAULT 1");
    const parent = await takePoint(await sessions());
    await run("ALTER TABLE item DROP COLUMN b; ALTER TABLE item ADD COLUMN b int DEFAULT 9");
    await expectWrongWithout(parent, { without: ["columns not compared"] });
  });

  test.each([
    ["an enum's label was renamed, in an array of a domain", "ALTER TYPE mood RENAME VALUE 'sad' TO 'low'"],
    ["an attribute was added to a composite type", "ALTER TYPE pair ADD ATTRIBUTE c int"],
    ["a column was added to a table whose rows are a column", "ALTER TABLE model ADD COLUMN c int"],
  ])("types not compared: %s", async (_title, change) => {
    await run(`CREATE TYPE mood AS ENUM ('sad', 'fair'); CREATE DOMAIN feelings AS mood[]; CREATE TYPE pair AS (a int, b int);
      CREATE TABLE model (a int)`);
    await makeTable("item", ", f feelings DEFAULT '{sad}', p pair DEFAULT ROW(1, 2), m model DEFAULT ROW(1)");
    const parent = await takePoint(await sessions());
    await run(change);
    await expectWrongWithout(parent, { without: ["types not compared"] });
  });

  test("unstable ignored: an enum's label was renamed while the parent read", async () => {
    await run("CREATE TYPE mood AS ENUM ('sad', 'fair'); CREATE TABLE first (a int)");
    await makeTable("item", ", m mood DEFAULT 'sad'");
    await run("CREATE TABLE last (a int)");
    // Called twice before anything is read, and then after each table; that of the large objects is the first.
    let callCount = 0;
    const between = async (): Promise<void> => {
      callCount += 1;
      if (callCount === 5) await run("ALTER TYPE mood RENAME VALUE 'sad' TO 'low'");
    };
    const parent = await takePoint(await sessions(), { between });
    expect([...parent.shapes.values()].filter(({ isStable }) => !isStable)).toHaveLength(1);
    await expectWrongWithout(parent, { without: ["unstable ignored"] });
  });

  test("settings not compared: another time zone", async () => {
    await makeTable("item", ", at timestamptz DEFAULT '2026-01-01Z'");
    const parent = await takePoint(await sessions());
    await expectWrongWithout(parent, { without: ["settings not compared"], settings: "SET TimeZone TO 'Asia/Tokyo'" });
  });

  test("segment size not compared: segments of the parent had twice as many blocks", async () => {
    await makeTable();
    const parent = await takePoint(await sessions(), { segmentBlockCount: 8 });
    await expectWrongWithout(parent, { without: ["segment size not compared"] });
  });

  test("database not compared: a copy of the parent's database, with the same OIDs and files", async () => {
    await makeTable();
    await run("CHECKPOINT");
    await world.closeSessions();
    await world.server.psql("postgres", `CREATE DATABASE twin TEMPLATE ${DATABASE}`);
    await world.server.psql("twin", "UPDATE item SET v = 1 WHERE ctid = '(20,1)'; CHECKPOINT; CHECKPOINT");
    const parent = await takePoint(await sessions());
    await using holder = await connect(world.server, "twin", "holder of the twin");
    await using second = await connect(world.server, "twin", "second of the twin");
    const outcome = await outcomeOf({ holder, second }, parent, { without: ["database not compared"] });
    expect(outcome.kept.takenOverCount).toBe(0);
    expect(outcome.leftOut.wrong).not.toEqual([]);
  });
});
