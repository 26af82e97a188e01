// What a backup may take over: nothing that a mark calls damaged, wherever it lay then and lies now; looked at again at commit.

import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openLocalStorage } from "../storage/index.ts";
import type { RepositoryContext } from "./context.ts";
import { unlockRepository } from "./create.ts";
import { systemClock, systemRandom } from "./environment.ts";
import { packObjectName } from "./identifiers.ts";
import type { Run } from "./index.ts";
import { writeVerifyMark } from "./marks.ts";
import { DAY_MS, PruneBench, rows } from "./prune/prune.fixture.ts";
import { writePruneList } from "./prune/prune-lists.ts";
import { backUp, FACTS, PASSPHRASE, temporaryFolder, TOC } from "./repository.fixture.ts";

/** In the first item of a pack. */
const FIRST_ITEM_OFFSET = 200;
const SECOND = { orders: ["a", "b", "x"].map((seed) => rows(seed)) };

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let bench: PruneBench;
let first: string;
let second: string;
let oldPack: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  bench = await PruneBench.create(join(folder.path, "r"));
  first = await bench.backUp({ orders: ["a", "b", "c"].map((seed) => rows(seed)) });
  second = await bench.backUp(SECOND);
  [oldPack] = (await bench.files("packs")) as [string];
});
afterEach(async () => await folder[Symbol.asyncDispose]());

/** Expires the first restore point, lists what only it needed; a day later a prune would repack the old pack. */
async function listOldPack(): Promise<void> {
  await bench.keepLast(1);
  await bench.prune();
  bench.nowMs += DAY_MS;
}

/** Repacks the old pack; the name of the new one, in which "a" and "b" are the items 0 and 1. */
async function repackOldPack(): Promise<string> {
  const before = await bench.files("packs");
  await bench.prune();
  const after = await bench.files("packs");
  expect(after).toContain(`${oldPack}.moved`);
  expect(after).not.toContain(oldPack);
  const added = after.filter((name) => !before.includes(name) && !name.endsWith(".moved"));
  expect(added).toHaveLength(1);
  return added[0]!;
}

async function flip(pack: string): Promise<void> {
  const path = join(bench.path, packObjectName(pack));
  const bytes = await readFile(path);
  bytes[FIRST_ITEM_OFFSET]! ^= 1;
  await writeFile(path, bytes);
}

async function verify(id: string): Promise<boolean> {
  const repository = await bench.open();
  return (await repository.verifyRestorePoint(await repository.openRestorePoint(id))).isWhole;
}

/** How many of its chunks a backup of the second's tables takes over; it must be whole. */
async function reusedByNextBackup(): Promise<number> {
  bench.nowMs += DAY_MS / 24;
  const facts = { snapshotAt: new Date(bench.nowMs).toISOString() };
  const { id, totals } = await backUp(await bench.open(), { tables: SECOND, facts });
  expect(await verify(id)).toBe(true);
  return totals.reusedChunks;
}

async function context(): Promise<RepositoryContext> {
  const storage = openLocalStorage(bench.path);
  const { configuration, keyring } = await unlockRepository(storage, { passphrase: PASSPHRASE });
  const { packSizeBytes } = configuration;
  const parts = { storage, keyring, clock: systemClock, random: systemRandom, packSizeBytes };
  return parts as unknown as RepositoryContext;
}

describe("a chunk that was found damaged", () => {
  test.each(["verify", "check"])("by a %s after its pack was repacked is stored anew", async (how) => {
    await listOldPack();
    await flip(await repackOldPack());
    if (how === "verify") expect(await verify(second)).toBe(false);
    else expect((await (await bench.open()).check({ readFraction: 1 })).findings).not.toEqual([]);
    expect(await reusedByNextBackup()).toBe(2);
  });

  test("before its pack was repacked is stored anew", async () => {
    await listOldPack();
    // Damaged when it was read, not when it was copied.
    await flip(oldPack);
    expect(await verify(second)).toBe(false);
    await flip(oldPack);
    await repackOldPack();
    expect(await reusedByNextBackup()).toBe(2);
  });

  test("by a verify of one that names its old place is not taken over from one that names the new place", async () => {
    await listOldPack();
    const newPack = await repackOldPack();
    const third = await bench.backUp(SECOND);
    const parent = await (await bench.open()).openRestorePoint(third);
    expect(parent.manifest.packs.map(([name]) => name)).not.toContain(oldPack);
    await flip(newPack);
    expect(await verify(second)).toBe(false);
    expect(await reusedByNextBackup()).toBe(2);
  });

  test("stays known after the restore point that named its old place has gone", async () => {
    await listOldPack();
    const newPack = await repackOldPack();
    await bench.backUp(SECOND);
    await flip(newPack);
    expect(await verify(second)).toBe(false);
    await flip(newPack);
    for (let count = 0; count < 2; count += 1) {
      await bench.keepLast(1);
      await bench.prune();
      bench.nowMs += 2 * DAY_MS;
      await bench.prune();
    }
    const files = await bench.files("packs");
    expect([files.includes(newPack), files.includes(`${oldPack}.moved`)]).toEqual([true, false]);
    expect(await reusedByNextBackup()).toBe(2);
  });

  test("stays known while another one still names its old place", async () => {
    const mark = { restorePointId: first, at: "", chunkCount: 0, rawBytes: 0 };
    const damage = [{ pack: oldPack, itemNumber: 0, relation: null, reason: "of memory" }];
    await writeVerifyMark(await context(), "damage", { ...mark, damage });
    await listOldPack();
    await repackOldPack();
    bench.nowMs += 2 * DAY_MS;
    await bench.prune();
    expect((await (await bench.open()).damaged()).itemCount).toBe(1);
    expect(await reusedByNextBackup()).toBe(2);
  });
});

describe("Run.commit()", () => {
  /** A run that refers to "a" and "b" where the second restore point has them. */
  async function referring(): Promise<{ readonly run: Run; readonly commit: () => Promise<unknown> }> {
    const repository = await bench.open();
    const parent = await repository.openRestorePoint(second);
    const run = await repository.startRun({ kind: "backup", parent });
    const list = run.openSegmentList();
    const [relation] = parent.manifest.relations;
    for await (const segment of run.parent!.segments(relation!)) await list.add(segment);
    const relations = [{ ...relation!, ...(await list.finish()) }];
    const input = { ...FACTS, snapshotAt: new Date(bench.nowMs).toISOString(), relations, largeObjects: [], toc: TOC };
    return { run, commit: async () => await run.commit(input) };
  }

  test("refuses a chunk that was marked damaged since the run began", async () => {
    const { commit, run } = await referring();
    await flip(oldPack);
    expect(await verify(second)).toBe(false);
    await expect(commit()).rejects.toMatchObject({ code: "corrupt", message: expect.stringContaining("was found damaged") as string }); // prettier-ignore
    await run.abort();
  });

  test("looks at the new place of a chunk whose pack was repacked since the run began", async () => {
    const cases = [
      {
        change: async (pack: string) => {
          const damage = [{ pack, itemNumber: 1, relation: null, reason: "it rotted" }];
          const mark = { restorePointId: second, at: "", chunkCount: 0, rawBytes: 0, damage };
          await writeVerifyMark(await context(), "damage", mark);
        },
        problem: "was found damaged",
      },
      {
        change: async (pack: string) => {
          await writePruneList(await context(), { packs: [], items: { [pack]: [[1, 1]] }, runs: [] }, null);
        },
        problem: "is about to lose a chunk",
      },
      {
        change: async (pack: string) => await truncate(join(bench.path, packObjectName(pack)), 1000),
        problem: "which has 1000 bytes, not",
      },
    ];
    await listOldPack();
    const runs = await Promise.all(cases.map(async () => await referring()));
    const newPack = await repackOldPack();
    const whole = await readFile(join(bench.path, packObjectName(newPack)));
    const { storage } = await context();
    for (const [index, { change, problem }] of cases.entries()) {
      await change(newPack);
      await expect(runs[index]!.commit()).rejects.toMatchObject({
        message: expect.stringContaining(problem) as string,
      });
      await runs[index]!.run.abort();
      await writeFile(join(bench.path, packObjectName(newPack)), whole);
      for (const prefix of ["marks/", "prune/"]) {
        for await (const { name } of storage.list(prefix)) await storage.delete(name);
      }
    }
    expect(await reusedByNextBackup()).toBe(2 + 1);
  });
});
