// Random histories on servers 17 and 18: in each round a backup with everything read is held against what would have been
// taken over from up to five earlier restore points. No segment may differ. The same rounds are judged with rules left
// out, so that it is seen that the histories find what the rules are there for.
//
//   CAIRN_TEST_SEED         draws the same histories again (autovacuum apart)
//   CAIRN_TEST_ROUNDS       rounds in all: 100, in `npm run test:incremental` 2,000
//   CAIRN_TEST_INCREMENTAL  "full": longer histories, some across the end of the transaction ids

import { expect, test } from "vitest";

import type { Major } from "../../support/servers.ts";
import { History, type Tally } from "./history.ts";
import type { MutationName } from "./mutations.ts";
import { bringNearWraparound } from "./wraparound.ts";
import { World } from "./world.ts";

const isFull = process.env["CAIRN_TEST_INCREMENTAL"] === "full";
const seed = Number(process.env["CAIRN_TEST_SEED"] ?? Date.now() % 1_000_000);
const roundCount = Number(process.env["CAIRN_TEST_ROUNDS"] ?? (isFull ? 2000 : 100));

const HISTORY_ROUND_COUNT = 50;
const WRAPAROUND_EVERY = 4;

/** Far below what any seed was seen to give; a test that takes nothing over shows nothing. */
const TAKEN_OVER_PER_ROUND_MIN = 10;

const ROUND_TIMEOUT_MS = 10_000;

/** Of the rules left out, so many are noticed by any hundred rounds, this one among them. */
const FOUND_BY_A_HUNDRED_MIN = 3;
const FOUND_BY_A_HUNDRED: readonly MutationName[] = ["summaries not waited for"];
const FOUND_BY_THOUSANDS: readonly MutationName[] = [
  "base is the snapshot's LSN",
  "base by xmax",
  "gap ignored",
  "no seal",
  "types not compared",
  "columns not compared",
  "unlogged ignored",
  "unstable ignored",
];

/** The histories of one server version, one after another. */
async function runHistories(major: Major): Promise<Tally[]> {
  const tallies: Tally[] = [];
  const historyCount = Math.ceil(roundCount / 2 / HISTORY_ROUND_COUNT);
  for (let index = 0; index < historyCount; index += 1) tallies.push(await runHistory(major, index));
  return tallies;
}

async function runHistory(major: Major, index: number): Promise<Tally> {
  const ownSeed = seed + index * 1000 + major;
  await using world = await World.openFilled(major);
  const crosses = isFull && index % WRAPAROUND_EVERY === 1;
  if (crosses) await bringNearWraparound(world);
  const history = new History(world, ownSeed);
  const { tally } = history;
  try {
    for (let round = 0; round < HISTORY_ROUND_COUNT; round += 1) await history.round();
    process.stdout.write(`${await multixactCount(world)} multixacts\n`);
    if (crosses) expect(tally.xmaxHighest, "the highest xmax").toBeGreaterThan(2n ** 32n);
  } finally {
    const title = `PostgreSQL ${major}, history ${index}${crosses ? " across 2^32 xids" : ""}, CAIRN_TEST_SEED=${seed}`;
    process.stdout.write(`${title}: ${tally.describe()}\n`);
  }
  return tally;
}

/** Since the server was made. */
async function multixactCount(world: World): Promise<string> {
  const query = "CHECKPOINT; SELECT next_multixact_id::text::bigint - 1 FROM pg_catalog.pg_control_checkpoint()";
  return await world.server.psql("postgres", query);
}

test(
  "what is taken over from any parent is what a full read in the same snapshot gives",
  { timeout: roundCount * ROUND_TIMEOUT_MS },
  async () => {
    // Both to their end, whatever becomes of one.
    const outcomes = await Promise.allSettled([runHistories(17), runHistories(18)]);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    const tallies = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? outcome.value : []));
    expect(tallies.flatMap(({ wrong }) => wrong)).toEqual([]);
    const sum = (count: (tally: Tally) => number): number => tallies.reduce((total, tally) => total + count(tally), 0);
    const takenOverCount = sum((tally) => tally.takenOverCount);
    expect(takenOverCount).toBeGreaterThan(roundCount * TAKEN_OVER_PER_ROUND_MIN);
    const found = new Set(tallies.flatMap(({ mutations }) => [...mutations.keys()]));
    expect(found.size).toBeGreaterThanOrEqual(FOUND_BY_A_HUNDRED_MIN);
    const expected = [...FOUND_BY_A_HUNDRED, ...(roundCount >= 1000 ? FOUND_BY_THOUSANDS : [])];
    expect(
      expected.filter((name) => !found.has(name)),
      "rules whose absence was not noticed",
    ).toEqual([]);
  },
);
