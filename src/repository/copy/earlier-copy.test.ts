// A restore point that is copied again, after an earlier copy of it was expired and before a prune removed its marks.

import { join } from "node:path";
import { expect, test } from "vitest";
import { openLocalStorage } from "../../storage/index.ts";
import { openRepository } from "../index.ts";
import type { Repository, RetentionRules } from "../index.ts";
import { isOfEarlierCopy } from "../marks.ts";
import { backUp, NO_RULES, temporaryFolder } from "../repository.fixture.ts";
import { makePair, openPlace } from "./copy.fixture.ts";

const FIRST_DAY_MS = Date.UTC(2026, 11, 1, 12);
const DAY_MS = 86_400_000;
const LAST_ONE: RetentionRules = { ...NO_RULES, last: 1 };
const DRILL = {
  outcome: "passed",
  serverVersion: "18.6",
  restoreDurationMs: 1,
  differenceCount: 0,
  differences: [],
  notCompared: [],
} as const;

async function verify(repository: Repository, id: string): Promise<void> {
  await repository.verifyRestorePoint(await repository.openRestorePoint(id));
}

test("what was found good of an earlier copy does not count for a new one; what was found wrong does", async () => {
  await using folder = await temporaryFolder();
  const { from, to } = await makePair(folder.path, "not alike");
  const source = await openPlace(from);
  const ids: string[] = [];
  for (const minute of [1, 2]) {
    const facts = { snapshotAt: `2026-11-22T10:0${minute}:00.000Z` };
    ids.push((await backUp(source, { tables: { t: [`${minute}\n`] }, facts })).id);
  }
  const [older, newer] = ids as [string, string];
  let nowMs = FIRST_DAY_MS;
  const open = async (): Promise<Repository> => {
    const clock = { now: () => new Date(nowMs), monotonicMs: () => nowMs };
    const cacheFolder = join(folder.path, "cache");
    return await openRepository(openLocalStorage(to.path), { passphrase: to.passphrase, clock, cacheFolder });
  };
  const target = await open();
  for (const id of ids) {
    await target.copyFrom(source, id);
    await verify(target, id);
    await target.markDrilled({ ...DRILL, restorePointId: id });
  }
  expect((await target.marks(ids)).get(newer)).toMatchObject({ lastVerify: { isWhole: true }, lastDrill: {} });
  for await (const { name } of openLocalStorage(to.path).list("backups/")) {
    if (name.endsWith(newer)) await openLocalStorage(to.path).delete(name);
  }
  nowMs += DAY_MS;
  await (await open()).copyFrom(source, newer);
  const again = await open();
  const marks = await again.marks(ids);
  expect(marks.get(newer)).toEqual({ lastVerify: null, lastDrill: null, isHeld: false });
  expect(marks.get(older)).toMatchObject({ lastVerify: { isWhole: true }, lastDrill: { outcome: "passed" } });
  // The older one is the last that was verified, and drilled.
  const decisions = await again.expire({ rules: LAST_ONE, isDryRun: true });
  expect(decisions.filter(({ isKept }) => isKept).map(({ id }) => id).toSorted()).toEqual(ids); // prettier-ignore
  nowMs += 1000;
  await verify(again, newer);
  await again.markDrilled({ ...DRILL, restorePointId: newer });
  expect((await again.marks(ids)).get(newer)).toMatchObject({ lastVerify: {}, lastDrill: { outcome: "passed" } });
  const later = await again.expire({ rules: LAST_ONE, isDryRun: true });
  expect(later.filter(({ isKept }) => isKept).map(({ id }) => id)).toEqual([newer]);
});

test("isOfEarlierCopy() goes by seconds, and never for marks of damage", () => {
  const id = "20261201T120000Z-00000000";
  const kinds = ["verify", "drill", "drill-partial", "damage", "drill-failed"];
  expect(kinds.filter((kind) => isOfEarlierCopy(kind, id, "2026-12-01T12:00:01.000Z"))).toEqual(kinds.slice(0, 3));
  expect(kinds.filter((kind) => isOfEarlierCopy(kind, id, "2026-12-01T12:00:00.999Z"))).toEqual([]);
  expect(isOfEarlierCopy("verify", id, null)).toBe(false);
});
