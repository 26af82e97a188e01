// Check: whole repositories, before and after repacking; each kind of damage, named by restore point and table.

import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openLocalStorage } from "../../storage/index.ts";
import { packObjectName } from "../identifiers.ts";
import type { CheckResult } from "./types.ts";
import { DAY_MS, PruneBench, rows } from "../prune/prune.fixture.ts";
import { backUp, changed, temporaryFolder } from "../repository.fixture.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let bench: PruneBench;
let first: string;
let second: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  bench = await PruneBench.create(join(folder.path, "r"));
  first = await bench.backUp({
    orders: ["a", "b", "c", "d", "e", "f", "g"].map((seed) => rows(seed)),
    items: [rows("i")],
  });
  second = await bench.backUp({ orders: ["a", "x"].map((seed) => rows(seed)), items: [rows("i")] });
});
afterEach(async () => await folder[Symbol.asyncDispose]());

async function check(readFraction = 0): Promise<CheckResult> {
  return await (await bench.open()).check({ readFraction });
}

/** "restore point: tables" of each finding. */
function touched({ findings }: CheckResult): string[] {
  return findings.map(({ restorePointId, tables }) => `${restorePointId}: ${tables.join(", ")}`);
}

async function packPath(id: string, index = 0): Promise<string> {
  const { manifest } = await (await bench.open()).openRestorePoint(id);
  return join(bench.path, packObjectName(`${manifest.runId}-${index}`));
}

async function flip(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[offset < 0 ? bytes.length + offset : offset]! ^= 1;
  await writeFile(path, bytes);
}

describe("Repository.check()", () => {
  test("finds nothing in a whole repository, also beside lists and after repacking", async () => {
    const whole = await check(1);
    expect(whole).toMatchObject({ findings: [], restorePointCount: 2, chunkCount: 11 });
    expect([whole.readPackCount, whole.readBytes]).toEqual([whole.packCount, whole.packBytes]);
    await bench.keepLast(1);
    await bench.prune();
    expect(touched(await check(1))).toEqual([]);
    bench.nowMs += DAY_MS;
    await bench.prune();
    const after = await check(1);
    expect([after.findings, after.chunkCount, after.leftovers.packs]).toEqual([[], 3, []]);
  });

  test("reads a part of the data, packs at random", async () => {
    const half = await check(0.3);
    expect(half.readBytes).toBeGreaterThanOrEqual(half.packBytes * 0.3);
    expect(half.readPackCount).toBeLessThan(half.packCount);
    expect((await check(0)).readPackCount).toBe(0);
  });

  test("names a flipped bit of the data by restore point and table, and the next backup stores it anew", async () => {
    await flip(await packPath(first), 200);
    expect(touched(await check(0))).toEqual([]);
    const found = await check(1);
    expect(touched(found).toSorted()).toEqual([`${first}: public.orders`, `${second}: public.orders`]);
    expect(found.findings[0]).toMatchObject({ object: expect.stringMatching(/^item 0 of pack /) as string, reason: expect.stringContaining("failed") as string }); // prettier-ignore
    const tables = bench.expected.get(second)!;
    const again = await backUp(await bench.open(), { tables });
    expect(again.totals).toMatchObject({ chunks: 3, reusedChunks: 2 });
  });

  test("names a missing pack, one of another size, and one whose contents are damaged", async () => {
    const path = await packPath(second);
    const bytes = await readFile(path);
    await rm(path);
    const missing = await check();
    expect(touched(missing)).toEqual([`${second}: public.orders, public.items`]);
    expect(missing.findings[0]!.reason).toContain("missing");
    await writeFile(path, Buffer.concat([bytes, Buffer.of(0)]));
    expect((await check()).findings[0]!.reason).toContain(`it has ${bytes.length + 1} bytes, not ${bytes.length}`);
    await writeFile(path, bytes);
    await flip(path, -30);
    const ending = await check();
    expect(touched(ending)[0]).toContain(second);
    await flip(path, -30);
    // What was marked damaged stays known; the repository is whole again.
    expect((await check(1)).findings).toEqual([]);
  });

  test("names a damaged manifest, prune list, mark, and list of moved items", async () => {
    const [lineage] = await readdir(join(bench.path, "backups"));
    const manifest = join(bench.path, "backups", lineage!, second);
    await flip(manifest, -100);
    expect(touched(await check())).toEqual([`${second}: all tables`]);
    await flip(manifest, -100);
    // It is marked damaged, and the first one is the last good one, until a verify says otherwise.
    const repository = await bench.open();
    await repository.verifyRestorePoint(await repository.openRestorePoint(second));
    await bench.keepLast(1);
    await bench.prune();
    const [list] = await bench.files("prune");
    await flip(join(bench.path, "prune", list!), 100);
    expect((await check()).findings).toMatchObject([{ restorePointId: null, object: "prune lists" }]);
    await flip(join(bench.path, "prune", list!), 100);
    bench.nowMs += DAY_MS;
    await bench.prune();
    const moved = (await bench.files("packs")).find((name) => name.endsWith(".moved"))!;
    const path = join(bench.path, `${packObjectName(moved.slice(0, -".moved".length))}.moved`);
    await flip(path, 100);
    const found = await check();
    expect(found.findings.map(({ object }) => object)).toContain(path.slice(bench.path.length + 1));
    expect(touched(found).join()).toContain(`${second}: `);
    await expect(bench.prune()).rejects.toMatchObject({ code: "corrupt" });
  });

  test("finds a pack put in another's place, and an older one put back", async () => {
    const [one, other] = [await packPath(first), await packPath(second)];
    await writeFile(one, await readFile(other));
    expect(touched(await check()).join()).toContain("public.orders");
  });

  test("takes nothing for damage that a prune moved meanwhile", async () => {
    await bench.keepLast(1);
    await bench.prune();
    bench.nowMs += DAY_MS;
    const storage = openLocalStorage(bench.path);
    let isFirst = true;
    const moving = changed(storage, {
      read: async (name, range, signal) => {
        if (name.startsWith("packs/") && isFirst) {
          isFirst = false;
          await bench.prune();
        }
        return await storage.read(name, range, signal);
      },
    });
    const repository = await bench.open(moving);
    await expect(repository.check({ readFraction: 0 })).rejects.toMatchObject({ code: "locked" });
    expect(await bench.files("marks")).toEqual([]);
  });
});
