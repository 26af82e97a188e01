// Prune and deltas: what a delta leans on stays with it when its own restore point is expired, also through repacking, and
// wherever a prune is killed.

import { cp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openLocalStorage } from "../../storage/index.ts";
import { openKeyRegister } from "../index.ts";
import type { ChunkReference, Repository } from "../index.ts";
import { CHEAP_SCRYPT, deltaOf, DyingStorage, FACTS, PASSPHRASE, temporaryFolder, TOC } from "../repository.fixture.ts";
import { actions, DAY_MS, PruneBench, rows } from "./prune.fixture.ts";

const FIRST = { orders: ["a", "b", "c", "d", "e", "f", "g"].map((seed) => rows(seed)), items: [rows("i")] };
/** All that is left of the first one is what its first segment's delta leans on. */
const SECOND = { orders: [`${FIRST.orders[0]!}one more\n`, rows("x")], items: [rows("j")] };
const THIRD = { orders: [...SECOND.orders, rows("y")], items: [rows("k")] };
const FOURTH = { orders: [`new\n${FIRST.orders[0]!}one more\n`, rows("z")], items: [rows("l")] };

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let bench: PruneBench;
beforeEach(async () => {
  folder = await temporaryFolder();
  bench = await PruneBench.create(join(folder.path, "r"));
  bench.makesDeltas = true;
});
afterEach(async () => await folder[Symbol.asyncDispose]());

async function firstChunk(id: string, repository?: Repository): Promise<ChunkReference> {
  const restorePoint = await (repository ?? (await bench.open())).openRestorePoint(id);
  const relation = restorePoint.findRelation({ namespace: "public", name: "orders" })!;
  for await (const { chunks } of restorePoint.segments(relation)) return chunks[0]!;
  throw new Error("it has no chunks");
}

/** Lists, and carries the list out after the grace. */
async function pruneTwice(at: PruneBench = bench): Promise<string[]> {
  const listed = actions(await at.prune());
  at.nowMs += DAY_MS;
  return [...listed, ...actions(await at.prune())];
}

describe("Repository.prune() and deltas", () => {
  test("keep a child whole whose parent is expired, and the base in a pack of which nothing else is needed", async () => {
    await bench.backUp(FIRST);
    const second = await bench.backUp(SECOND);
    const delta = await firstChunk(second);
    expect(delta.encoding).toBe("zstd-delta");
    await bench.keepLast(1);
    expect(await pruneTwice()).toEqual(["listed", "listed-in-part", "deleted", "repacked"]);
    const packs = await bench.files("packs");
    expect(packs).not.toContain(delta.base!.pack);
    expect(packs).toContain(`${delta.base!.pack}.moved`);
    await bench.expectWhole();
    expect((await (await bench.open()).check({ readFraction: 1 })).findings).toEqual([]);
    // A second time nothing is left to do.
    expect(await pruneTwice()).toEqual([]);
    await bench.expectWhole();
  });

  test("follow a base and a delta that moved, as often as they move", async () => {
    await bench.backUp(FIRST);
    const second = await firstChunk(await bench.backUp(SECOND));
    const third = await firstChunk(await bench.backUp(THIRD));
    expect(third).toMatchObject({ pack: second.pack, base: { pack: second.base!.pack } });
    await bench.keepLast(1);
    expect(await pruneTwice()).toContain("repacked");
    await bench.expectWhole();
    // The next one names where they lie now; a delta that is made anew leans on the same base.
    const again = await firstChunk(await bench.backUp(THIRD));
    expect(again.encoding).toBe("zstd-delta");
    expect([again.pack, again.base!.pack]).not.toEqual([second.pack, second.base!.pack]);
    const fourth = await firstChunk(await bench.backUp(FOURTH));
    expect(fourth).toMatchObject({ encoding: "zstd-delta", base: { pack: again.base!.pack, itemNumber: again.base!.itemNumber } }); // prettier-ignore
    await bench.expectWhole();
    for (const count of [2, 1]) {
      await bench.keepLast(count);
      await pruneTwice();
      await bench.expectWhole();
      expect((await (await bench.open()).check({ readFraction: 1 })).findings).toEqual([]);
    }
    expect(await (await bench.open()).leftovers()).toMatchObject({ packs: [], unreadable: [] });
  });

  test("a run that leans on a chunk that a repacking leaves out fails, and succeeds when run again", async () => {
    const first = await bench.backUp(FIRST);
    await bench.backUp({ orders: FIRST.orders.slice(1), items: [] });
    const repository = await bench.open();
    const parent = await repository.openRestorePoint(first);
    const run = await repository.startRun({ kind: "backup", parent });
    const base = await firstChunk(first, repository);
    const text = SECOND.orders[0]!;
    const delta = deltaOf(repository.chunkIdSecret, text, base, Buffer.from(FIRST.orders[0]!));
    const list = run.openSegmentList();
    const chunks = [await run.storeChunk(delta)];
    await list.add({ firstBlock: 0, blockCount: 8, rowCount: delta.rowCount, chunks });
    const relations = [{ ...parent.manifest.relations[0]!, ...(await list.finish()) }];
    await bench.keepLast(1);
    expect(actions(await bench.prune())).toContain("listed-in-part");
    await expect(run.commit({ ...FACTS, relations, largeObjects: [], toc: TOC })).rejects.toMatchObject({
      message: expect.stringContaining("is about to be repacked without a chunk") as string,
    });
    await run.abort();
    await bench.backUp(SECOND);
    await bench.expectWhole();
  });

  test("seal both anew under a new data key; the repository goes on requiring its readers to know deltas", async () => {
    await bench.backUp(FIRST);
    const before = await firstChunk(await bench.backUp(SECOND));
    const register = await openKeyRegister(openLocalStorage(bench.path), { passphrase: PASSPHRASE, scryptCost: CHEAP_SCRYPT }); // prettier-ignore
    await register.rotate({ dropsOthers: false });
    expect(await readFile(join(bench.path, "cairn.json"), "utf8")).toContain('"delta"');
    expect(new Set(actions(await bench.prune({ reseals: true, unusedFractionMax: 1 })))).toEqual(new Set(["resealed"]));
    const packs = await bench.files("packs");
    expect(packs).not.toContain(before.pack);
    expect(packs).not.toContain(before.base!.pack);
    await bench.expectWhole();
    const after = await firstChunk(await bench.backUp(THIRD));
    expect(after).toMatchObject({ encoding: "zstd-delta", id: before.id });
    expect([after.pack, after.base!.pack]).not.toContain(before.base!.pack);
    await bench.expectWhole();
  });

  test(
    "killed at every ninth call, everything that was not expired is whole, and the next prune ends the work",
    { timeout: 60_000 },
    async () => {
      await bench.backUp(FIRST);
      await bench.backUp(SECOND);
      await bench.backUp(THIRD);
      await bench.keepLast(1);
      await bench.prune();
      bench.nowMs += DAY_MS;
      let wasKilled = true;
      for (let failAt = 10; wasKilled; failAt += 9) {
        const path = join(folder.path, `killed-${failAt}`);
        await cp(bench.path, path, { recursive: true });
        const killed = bench.at(path);
        const storage = openLocalStorage(path);
        const dying = await killed.open(new DyingStorage(storage, failAt)).catch(() => null);
        wasKilled = dying === null || (await killed.prune({}, dying).then(() => false, () => true)); // prettier-ignore
        await killed.expectWhole();
        // Its process is this one; on a machine that it was killed on, nobody would hold its record for alive.
        await rm(join(path, "runs"), { recursive: true, force: true });
        for (let count = 0; count < 2; count += 1) await pruneTwice(killed);
        await killed.expectWhole();
        expect(await (await killed.open()).leftovers()).toMatchObject({ packs: [], unreadable: [] });
      }
    },
  );
});
