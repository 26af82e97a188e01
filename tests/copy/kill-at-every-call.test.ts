// A storage that dies at call N, for every N of a small copy: that of the repository that is copied from, or that of the
// one that is copied to, both when packs move as they are and when chunks are sealed anew. Afterwards every restore point
// of both verifies and holds its rows, and the next copy, backup, expire and prunes succeed and leave nothing behind.

import { existsSync } from "node:fs";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makePair, MODES, openPlace, wholeTables } from "../../src/repository/copy/copy.fixture.ts";
import type { Mode, Place } from "../../src/repository/copy/copy.fixture.ts";
import { rows } from "../../src/repository/prune/prune.fixture.ts";
import { backUp, DyingStorage, NO_RULES, temporaryFolder } from "../../src/repository/repository.fixture.ts";
import type { TableTexts } from "../../src/repository/repository.fixture.ts";
import { openLocalStorage } from "../../src/storage/index.ts";

const CALLS_MAX = 500;
/** After so many prunes nothing is left to do. */
const PRUNES_MAX = 6;
const PRUNE = { graceMs: 0, unusedFractionMax: 0, isDryRun: false, isWaiting: false };

const STATES: readonly TableTexts[] = [
  { orders: ["a", "b", "c"].map((seed) => rows(seed)), items: [rows("i")] },
  {
    orders: ["a", "x", "c"].map((seed) => rows(seed)),
    items: [rows("i")],
    more: [rows("j", 12_000), rows("k", 12_000)],
  },
];

interface Pair {
  readonly path: string;
  readonly from: Place;
  readonly to: Place;
}

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
const seeds = new Map<Mode, Pair>();
/** What each restore point holds. */
const expected = new Map<string, TableTexts>();
const ids = new Map<Mode, readonly string[]>();

/** Two restore points, the first of which is copied. */
beforeAll(async () => {
  folder = await temporaryFolder(existsSync("/dev/shm") ? "/dev/shm" : undefined);
  for (const mode of MODES) {
    const path = join(folder.path, mode);
    const pair = await makePair(path, mode);
    const source = await openPlace(pair.from);
    const made: string[] = [];
    for (const [index, tables] of STATES.entries()) {
      const { id } = await backUp(source, { tables, facts: { snapshotAt: `2026-11-22T10:0${index}:00.000Z` } });
      expected.set(id, tables);
      made.push(id);
    }
    await (await openPlace(pair.to)).copyFrom(source, made[0]!);
    seeds.set(mode, { path, ...pair });
    ids.set(mode, made);
  }
});
afterAll(async () => await folder[Symbol.asyncDispose]());

async function copyOf(pair: Pair, name: string): Promise<Pair> {
  const path = join(folder.path, name);
  await cp(pair.path, path, { recursive: true });
  return { path, from: { ...pair.from, path: join(path, "from") }, to: { ...pair.to, path: join(path, "to") } };
}

async function expectWhole(place: Place, count?: number): Promise<readonly string[]> {
  const repository = await openPlace(place);
  const found = (await repository.restorePoints()).map(({ id }) => id);
  if (count !== undefined) expect(found).toHaveLength(count);
  for (const id of found) expect(await wholeTables(repository, id), id).toEqual(expected.get(id));
  return found;
}

/** What stands there after the death is whole, the next commands succeed, and nothing is left in the end. */
async function expectRecovery({ from, to }: Pair, id: string): Promise<"copied" | "not copied"> {
  // The records of this process look alive: it was not it that died.
  for (const { path } of [from, to]) await rm(join(path, "runs"), { recursive: true, force: true });
  await expectWhole(from, STATES.length);
  const outcome = (await expectWhole(to)).includes(id) ? "copied" : "not copied";
  const [source, target] = [await openPlace(from), await openPlace(to)];
  if (outcome === "not copied") await target.copyFrom(source, id);
  const next = await backUp(target, { tables: STATES[1]!, facts: { snapshotAt: "2026-11-22T11:00:00.000Z" } });
  expect(next.totals.reusedChunks).toBe(next.totals.chunks);
  expected.set(next.id, STATES[1]!);
  await target.expire({ rules: { ...NO_RULES, last: 2 }, isDryRun: false });
  for (let round = 0, left = 1; left > 0; round += 1) {
    expect(round).toBeLessThan(PRUNES_MAX);
    left = (await target.prune(PRUNE)).decisions.length;
  }
  await expectWhole(to, 2);
  expect(await target.leftovers()).toMatchObject({ runs: [], packs: [], unreadable: [] });
  return outcome;
}

test.each(MODES.flatMap((mode) => (["from", "to"] as const).map((side) => [side, mode] as const)))(
  "a copy whose storage it copies %s is killed at any call harms nothing (repositories %s)",
  { timeout: 300_000 },
  async (side, mode) => {
    const id = ids.get(mode)![1]!;
    const outcomes = { copied: 0, "not copied": 0 };
    let deaths = 0;
    for (let isAlive = false; !isAlive; deaths += isAlive ? 0 : 1) {
      expect(deaths).toBeLessThan(CALLS_MAX);
      const pair = await copyOf(seeds.get(mode)!, `${mode} ${side} ${deaths}`);
      const storage = new DyingStorage(openLocalStorage(pair[side].path), deaths);
      const open = async (one: "from" | "to"): ReturnType<typeof openPlace> => {
        return one === side ? await openPlace(pair[one], storage) : await openPlace(pair[one]);
      };
      const work = (async () => await (await open("to")).copyFrom(await open("from"), id))();
      isAlive = (await work.then(() => true, () => false)) && storage.calls <= deaths; // prettier-ignore
      outcomes[await expectRecovery(pair, id)] += 1;
      await rm(pair.path, { recursive: true });
    }
    console.log(`copy, repositories ${mode}: killed at each of ${deaths} calls of the storage it copies ${side}`);
    expect(deaths).toBeGreaterThanOrEqual(side === "to" ? 40 : 8);
    expect(outcomes["not copied"]).toBeGreaterThanOrEqual(side === "to" ? 20 : 8);
    // The manifest may have been written before the kill: then the copy is whole.
    expect(outcomes.copied).toBeGreaterThanOrEqual(side === "to" ? 3 : 1);
  },
);
