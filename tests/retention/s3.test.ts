// Expire, prune with repacking, and check on a repository in S3: readers follow what moved there too.

import { deepEqual } from "node:assert/strict";
import { describe, expect, test } from "vitest";
import { openRepository } from "../../src/repository/index.ts";
import type { PruneResult } from "../../src/repository/index.ts";
import { actions, rows } from "../../src/repository/prune/prune.fixture.ts";
import { backUp, PASSPHRASE, readTables, smallRepository } from "../../src/repository/repository.fixture.ts";
import { openStorage } from "../../src/storage/index.ts";
import { s3Servers, surroundingsOf, uriAt } from "../storage/s3-servers.ts";

describe.each(s3Servers())("a repository in S3 on $name", ({ start }) => {
  test("is expired, pruned, repacked, checked, and backed up into again", async () => {
    await using s3 = await start();
    const storage = await openStorage(uriAt(s3.endpoint, "retention"), surroundingsOf(s3.keys));
    await smallRepository(storage);
    const repository = await openRepository(storage, { passphrase: PASSPHRASE });
    const [first, second] = [["a", "b", "c"], ["a", "x", "c"]].map((seeds) => ({ orders: seeds.map((seed) => rows(seed)) })); // prettier-ignore
    await backUp(repository, { tables: first! });
    const { id } = await backUp(repository, { tables: second! });
    const none = { hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: null, keepTags: [], onlyTags: [] };
    const rules = { ...none, onlyLineages: null, last: 1, minimum: 1, timeZone: "UTC" };
    const decisions = await repository.expire({ rules, isDryRun: false });
    expect(decisions.map(({ isKept }) => isKept)).toEqual([true, false]);
    const prune = async (): Promise<PruneResult> => {
      return await repository.prune({ graceMs: 0, unusedFractionMax: 0, isDryRun: false, isWaiting: false });
    };
    expect(actions(await prune())).toEqual(["listed-in-part"]);
    expect(actions(await prune())).toEqual(["repacked"]);
    const opened = await (await openRepository(storage, { passphrase: PASSPHRASE })).openRestorePoint(id);
    deepEqual(await readTables(opened), second);
    expect((await repository.check({ readFraction: 1 })).findings).toEqual([]);
    const again = await backUp(repository, { tables: second! });
    expect(again.totals).toMatchObject({ chunks: 3, reusedChunks: 3 });
    expect(actions(await prune())).toEqual([]);
  });
});
