// Rules left out where a lineage is read from several hosts: a primary and a standby that lags behind it, and two clones of
// one data folder.

import { expect, test } from "vitest";

import { awaitSummaries, listSummaries } from "../../../src/incremental/index.ts";
import { ownServer, runAsServerUser } from "../../support/servers.ts";
import { known, signal, type RunSessions } from "./reading.ts";
import { outcomeOf, takePoint } from "./scenario.ts";
import { connect, DATABASE, World } from "./world.ts";

const isFull = process.env["CAIRN_TEST_INCREMENTAL"] === "full";

const QUIET = { autovacuum: "off", checkpoint_timeout: "1h" };

const SUMMARY_WAIT_LIMIT_MS = 120_000;

async function makeTable(world: World): Promise<void> {
  for (const statement of [
    "CREATE TABLE item (id int, v int, pad text)",
    "INSERT INTO item SELECT g, 0, pg_catalog.repeat('x', 750) FROM generate_series(1, 400) g",
    "VACUUM (FREEZE) item",
    "CHECKPOINT",
  ]) {
    await (await world.session("worker")).query(statement);
  }
}

test("no order: the parent was read from the primary, the run reads a standby that is behind it", async () => {
  await using primary = await World.open(18, QUIET);
  await makeTable(primary);
  const { pgBasebackup } = primary.server.tools;
  await using standby = await ownServer(18, {
    settings: {
      ...QUIET,
      allow_in_place_tablespaces: "on",
      recovery_min_apply_delay: "1h",
      max_prepared_transactions: "20",
    },
    fillDataDirectory: async (folder) => {
      await runAsServerUser(pgBasebackup, [
        "-D",
        folder,
        "-R",
        "-X",
        "stream",
        "-c",
        "fast",
        "-d",
        primary.server.uri("postgres"),
      ]);
    },
  });
  const sessions = { holder: await primary.session("holder"), second: await primary.session("control") };
  await sessions.second.query("CHECKPOINT");
  await sessions.second.query("UPDATE item SET v = 1 WHERE ctid = '(20,1)'");
  await sessions.second.query("CHECKPOINT");
  await sessions.second.query("CHECKPOINT");
  const parent = await takePoint(sessions);
  await using holder = await connect(standby, DATABASE, "holder");
  await using second = await connect(standby, DATABASE, "second");
  // The WAL is there long before it is replayed, and summarized: the parent's seal is found.
  const untilLsn = parent.record.sealLsn!;
  await awaitSummaries(second, { timeline: 1, untilLsn, mode: "wait", limitMs: SUMMARY_WAIT_LIMIT_MS, signal });
  const summaries = known(await listSummaries(second, 1, signal));
  expect(summaries.map(({ endLsn }) => endLsn)).toContain(untilLsn);
  const outcome = await outcomeOf({ holder, second }, parent, { without: ["no order"], awaits: false });
  expect(outcome.kept, outcome.reasons).toEqual({ takenOverCount: 0, wrong: [] });
  expect(outcome.leftOut.wrong, outcome.reasons).not.toEqual([]);
});

/** Times that two clones are given to write WAL of the same length. */
const CLONE_ATTEMPT_COUNT_MAX = 10;

const MARKED_ATTEMPT_COUNT = 2;

/** Starts a clone of the data folder as it was kept, and lets it work. */
async function workOnClone(world: World, statements: readonly string[]): Promise<RunSessions> {
  await world.stop("fast");
  await world.putBack("clone");
  await world.start();
  for (const statement of statements) await (await world.session("worker")).query(statement);
  return { holder: await world.session("holder"), second: await world.session("control") };
}

test("digest not compared: two clones wrote WAL of the same length, to other blocks", async () => {
  await using world = await World.open(18, QUIET);
  await makeTable(world);
  await world.stop("fast");
  await world.keepCopy("clone");
  await world.start();
  const updated = (block: number): string[] => [`UPDATE item SET v = 1 WHERE ctid = '(${block},1)'`];
  for (let attempt = 1; attempt <= CLONE_ATTEMPT_COUNT_MAX; attempt += 1) {
    const parent = await takePoint(await workOnClone(world, updated(20)), { marks: false });
    const sessions = await workOnClone(world, updated(12));
    const own = await takePoint(sessions, { marks: false });
    if (own.record.sealLsn !== parent.record.sealLsn || own.record.baseLsn !== parent.record.baseLsn) continue;
    const outcome = await outcomeOf(sessions, parent, { without: [], marks: false }); // what is doctored compares no digests
    expect(outcome.kept, outcome.reasons).toEqual({ takenOverCount: 0, wrong: [] });
    expect(outcome.leftOut.wrong, outcome.reasons).toHaveLength(1);
    return;
  }
  throw new Error("the clones' WAL never had the same length");
});

// Only the blocks' contents differ: no rule tells these histories apart, but the mark that each run leaves in the WAL does.
test.each([{ marks: true, wrongCount: 0 }, ...(isFull ? [{ marks: false, wrongCount: 1 }] : [])])(
  "with marks $marks: two clones wrote WAL of the same length, to the same blocks, with other contents",
  async ({ marks, wrongCount }) => {
    await using world = await World.open(18, QUIET);
    await makeTable(world);
    await world.stop("fast");
    await world.keepCopy("clone");
    await world.start();
    const updated = (v: number): string[] => [
      `UPDATE item SET v = ${v} WHERE ctid = '(20,1)'`,
      "CHECKPOINT",
      "CHECKPOINT",
    ];
    const wrong: string[] = [];
    const attemptCount = marks ? MARKED_ATTEMPT_COUNT : CLONE_ATTEMPT_COUNT_MAX;
    for (let attempt = 1; attempt <= attemptCount && wrong.length === 0; attempt += 1) {
      const parent = await takePoint(await workOnClone(world, updated(1)), { marks });
      const outcome = await outcomeOf(await workOnClone(world, updated(2)), parent, { without: [], marks });
      wrong.push(...outcome.kept.wrong);
    }
    expect(wrong).toHaveLength(wrongCount);
  },
);
