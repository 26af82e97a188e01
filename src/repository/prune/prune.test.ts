// Prune: lists, waits, deletes, repacks; beside backups and other prunes, with wrong clocks and stale listings.

import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openLocalStorage } from "../../storage/index.ts";
import type { StoredObject } from "../../storage/index.ts";
import { unlockRepository } from "../create.ts";
import { systemRandom } from "../environment.ts";
import { movedObjectName, packObjectName } from "../identifiers.ts";
import { openRepository } from "../index.ts";
import { backUp, changed, chunkOf, FACTS, PASSPHRASE, temporaryFolder, TOC } from "../repository.fixture.ts";
import { sealObject } from "../sealed-object.ts";
import { actions, DAY_MS, PruneBench, rows } from "./prune.fixture.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let bench: PruneBench;
beforeEach(async () => {
  folder = await temporaryFolder();
  bench = await PruneBench.create(join(folder.path, "r"));
});
afterEach(async () => await folder[Symbol.asyncDispose]());

/** Two restore points: the second has one of the first one's four segments changed. */
async function twoRestorePoints(): Promise<[string, string]> {
  const first = { orders: ["a", "b", "c", "d"].map((seed) => rows(seed)) };
  const second = { orders: ["a", "b", "c", "x"].map((seed) => rows(seed)) };
  return [await bench.backUp(first), await bench.backUp(second)];
}

describe("Repository.prune()", () => {
  test("does nothing where everything is needed", async () => {
    await twoRestorePoints();
    expect(await bench.prune()).toMatchObject({ decisions: [], waiting: [] });
    expect([await bench.files("prune"), await bench.files("runs")]).toEqual([[], []]);
    await bench.expectWhole();
  });

  test("knows what a long manifest needs, of which one request does not read all", async () => {
    const names = Array.from({ length: 2500 }, (_, index) => `t${index}_${rows(String(index), 40).slice(0, 40)}`);
    await bench.backUp(Object.fromEntries(names.map((name) => [name, []])));
    await bench.backUp({ ...Object.fromEntries(names.map((name) => [name, []])), orders: [rows("a")] });
    const [object] = await listing(bench, "backups/");
    expect(object!.sizeBytes).toBeGreaterThan(64 * 1024);
    expect(actions(await bench.prune())).toEqual([]);
    expect(await (await bench.open()).leftovers()).toMatchObject({ packs: [], unreadable: [] });
  });

  test("lists what nobody needs, waits for the grace, then deletes it", async () => {
    const first = await bench.backUp({ orders: [rows("a"), rows("b")] });
    await bench.backUp({ orders: [rows("c"), rows("d")] });
    await bench.keepLast(1);
    const packs = await bench.files("packs");
    const dry = await bench.prune({ isDryRun: true });
    expect(actions(dry)).toEqual(["listed"]);
    expect(dry.decisions[0]!.reason).toContain("no restore point needs it");
    expect([await bench.files("prune"), await bench.files("packs")]).toEqual([[], packs]);
    expect(actions(await bench.prune())).toEqual(["listed"]);
    expect(await bench.files("packs")).toEqual(packs);
    bench.nowMs += DAY_MS - 60_000;
    const early = await bench.prune();
    expect([actions(early), early.waiting.length, early.waiting[0]!.reason]).toEqual([[], 1, expect.stringContaining("its grace ends at")]); // prettier-ignore
    bench.nowMs += 60_000;
    expect(actions(await bench.prune({ isDryRun: true }))).toEqual(["deleted"]);
    expect(await bench.files("packs")).toEqual(packs);
    expect(actions(await bench.prune())).toEqual(["deleted"]);
    expect((await bench.files("packs")).length).toBe(packs.length - 1);
    expect([await bench.files("prune"), await bench.files("runs")]).toEqual([[], []]);
    expect(bench.expected.has(first)).toBe(false);
    await bench.expectWhole();
    expect(actions(await bench.prune())).toEqual([]);
  });

  test("repacks a pack that is needed in part; readers, verify and later backups follow its items", async () => {
    await twoRestorePoints();
    const [old] = await bench.files("packs");
    await bench.keepLast(1);
    expect(actions(await bench.prune({ unusedFractionMax: 0.99 }))).toEqual([]);
    const listed = await bench.prune();
    expect(actions(listed)).toEqual(["listed-in-part"]);
    expect(listed.decisions[0]!.reason).toMatch(/^\d+ % of it is not needed; a prune after .* repacks it$/);
    bench.nowMs += DAY_MS;
    const done = await bench.prune();
    expect(actions(done)).toEqual(["repacked"]);
    const after = await bench.files("packs");
    expect(after).toContain(`${old!}.moved`);
    expect(after).not.toContain(old);
    await bench.expectWhole();
    const repository = await bench.open();
    const again = await backUp(repository, { tables: [...bench.expected.values()][0]! });
    expect(again.totals).toMatchObject({ reusedChunks: 4, chunks: 4 });
    bench.expected.set(again.id, [...bench.expected.values()][0]!);
    const { manifest } = await repository.openRestorePoint(again.id);
    expect(manifest.packs.map(([name]) => name)).not.toContain(old);
    await bench.expectWhole();
    // The restore point that still names the old pack goes: what says where its items went goes too.
    await bench.keepLast(1);
    await bench.prune();
    bench.nowMs += DAY_MS;
    await bench.prune();
    expect(await bench.files("packs")).not.toContain(`${old!}.moved`);
    await bench.expectWhole();
  });

  test("repacks again what was repacked before; old restore points follow from pack to pack", async () => {
    const segments = ["a", "b", "c", "d"].map((seed) => rows(seed));
    for (let count = 4; count > 0; count -= 1)
      await bench.backUp({ orders: segments.slice(0, count), kept: [rows("k")] });
    const [first] = await bench.files("packs");
    // Each of them names the first pack; each that goes leaves one more of its chunks to nobody.
    for (const count of [3, 2, 1]) {
      await bench.keepLast(count);
      await bench.prune();
      bench.nowMs += DAY_MS;
      expect(actions(await bench.prune())).toContain("repacked");
      await bench.expectWhole();
    }
    const repository = await bench.open();
    const [id, tables] = [...bench.expected][0]!;
    const { manifest } = await repository.openRestorePoint(id);
    expect(manifest.packs.map(([name]) => name)).toContain(first);
    expect((await bench.files("packs")).filter((name) => name.endsWith(".moved")).length).toBeGreaterThanOrEqual(3);
    // A new restore point refers to where everything lies now; with the last old one, all that was written of moves goes.
    await bench.backUp(tables);
    await bench.keepLast(1);
    await bench.prune();
    bench.nowMs += DAY_MS;
    await bench.prune();
    expect((await bench.files("packs")).filter((name) => name.endsWith(".moved"))).toEqual([]);
    await bench.expectWhole();
  });

  test("deletes packs of a killed run, after the grace", async () => {
    await twoRestorePoints();
    const repository = await bench.open();
    const run = await repository.startRun({ kind: "backup" });
    for (let index = 0; index < 8; index += 1)
      await run.storeChunk(chunkOf(repository.chunkIdSecret, rows(`z${index}`)));
    const before = await vi.waitUntil(async () => {
      const packs = await bench.files("packs");
      return packs.length === 3 ? packs : null;
    });
    expect(actions(await bench.prune())).toEqual([]);
    await rm(join(bench.path, "runs", run.id), { recursive: true });
    expect(actions(await bench.prune())).toEqual(["listed"]);
    bench.nowMs += DAY_MS;
    expect(actions(await bench.prune())).toEqual(["deleted"]);
    expect((await bench.files("packs")).length).toBe(before.length - 1);
    await run.abort();
    await bench.expectWhole();
  });

  test("deletes marks of removed restore points, but not what they say of damage in living packs", async () => {
    const [first, second] = await twoRestorePoints();
    const repository = await bench.open();
    await repository.verifyRestorePoint(await repository.openRestorePoint(first));
    const { manifest } = await repository.openRestorePoint(second);
    const shared = packObjectName(manifest.packs.find(([name]) => !name.startsWith(manifest.runId))![0]);
    const bytes = await readFile(join(bench.path, shared));
    const broken = Uint8Array.from(bytes);
    broken[200]! ^= 1;
    await writeFile(join(bench.path, shared), broken);
    await repository.verifyRestorePoint(await repository.openRestorePoint(first));
    await writeFile(join(bench.path, shared), bytes);
    await bench.keepLast(1);
    bench.nowMs += DAY_MS;
    expect(actions(await bench.prune({ unusedFractionMax: 1 }))).toEqual(["mark-deleted"]);
    expect((await bench.files("marks")).map((name) => name.split("-")[0])).toEqual(["damage"]);
    expect((await repository.damaged()).itemCount).toBe(1);
  });

  test("removes nothing while a manifest cannot be read", async () => {
    await twoRestorePoints();
    await bench.keepLast(1);
    await bench.backUp({ orders: [rows("q")] });
    const [lineage] = await readdir(join(bench.path, "backups"));
    const [name] = await bench.files("backups");
    await writeFile(join(bench.path, "backups", lineage!, name!), "broken");
    await expect(bench.prune()).rejects.toMatchObject({ code: "corrupt", message: expect.stringContaining(name!) as string }); // prettier-ignore
    expect([await bench.files("prune"), await bench.files("runs")]).toEqual([[], []]);
  });

  test("leaves a pack whose list or items are damaged as it is, and goes on", async () => {
    await twoRestorePoints();
    const [old] = await bench.files("packs");
    await bench.keepLast(1);
    await bench.prune();
    bench.nowMs += DAY_MS;
    const path = join(bench.path, packObjectName(old!));
    const bytes = await readFile(path);
    const broken = Uint8Array.from(bytes);
    broken[200]! ^= 1;
    await writeFile(path, broken);
    const result = await bench.prune();
    expect(actions(result)).toEqual(["repacked failed"]);
    expect(result.decisions[0]!.failure).toContain("item 0 failed");
    expect(await bench.files("prune")).toHaveLength(1);
    await writeFile(path, bytes);
    expect(actions(await bench.prune())).toContain("repacked");
    await bench.expectWhole();
  });
});

describe("Repository.prune() beside others", () => {
  test("a backup that began before the list keeps it waiting, and takes nothing listed over", async () => {
    // Its own clock stands still, so that it was never away.
    const clock = { now: () => new Date("2026-11-01T12:00:00Z"), monotonicMs: () => 0 };
    const repository = await openRepository(openLocalStorage(bench.path), { passphrase: PASSPHRASE, clock });
    const id = await bench.backUp({ orders: [rows("a")] });
    const parent = await repository.openRestorePoint(id);
    const run = await repository.startRun({ kind: "backup", parent });
    const list = run.openSegmentList();
    for await (const segment of run.parent!.segments(parent.manifest.relations[0]!)) await list.add(segment);
    const relations = [{ ...parent.manifest.relations[0]!, ...(await list.finish()) }];
    await bench.backUp({ orders: [rows("b")] });
    await bench.keepLast(1);
    await bench.prune();
    bench.nowMs += DAY_MS;
    const waiting = await bench.prune();
    expect([actions(waiting), waiting.waiting[0]!.reason]).toEqual([[], expect.stringContaining(`run ${run.id}, began before it`)]); // prettier-ignore
    await expect(run.commit({ ...FACTS, relations, largeObjects: [], toc: TOC })).rejects.toMatchObject({
      message: expect.stringContaining("is about to be pruned") as string,
    });
    await run.abort();
    expect(actions(await bench.prune())).toEqual(["deleted"]);
    await bench.expectWhole();
  });

  test("a backup that is at work while a pack is repacked follows it", async () => {
    await twoRestorePoints();
    await bench.keepLast(1);
    const [, tables] = [...bench.expected][0]!;
    await bench.prune();
    bench.nowMs += DAY_MS;
    // Begins after the list; the repacking comes between its last look at the packs and its manifest.
    const storage = openLocalStorage(bench.path);
    const repository = await bench.open(
      changed(storage, {
        put: async (name, bytes, options) => {
          if (name.startsWith("backups/")) expect(actions(await bench.prune())).toEqual(["repacked"]);
          return await storage.put(name, bytes, options);
        },
      }),
    );
    await bench.backUp(tables, repository);
    expect(bench.expected.size).toBe(2);
    await bench.expectWhole();
  });

  test("a backup that refers to a chunk that a repacking leaves out fails, and succeeds when run again", async () => {
    const [first] = await twoRestorePoints();
    const repository = await bench.open();
    const parent = await repository.openRestorePoint(first);
    const run = await repository.startRun({ kind: "backup", parent });
    const list = run.openSegmentList();
    for await (const segment of run.parent!.segments(parent.manifest.relations[0]!)) await list.add(segment);
    const relations = [{ ...parent.manifest.relations[0]!, ...(await list.finish()) }];
    await bench.keepLast(1);
    expect(actions(await bench.prune())).toEqual(["listed-in-part"]);
    await expect(run.commit({ ...FACTS, relations, largeObjects: [], toc: TOC })).rejects.toMatchObject({
      message: expect.stringContaining("is about to be repacked without a chunk") as string,
    });
    await run.abort();
    await bench.backUp({ orders: ["a", "b", "c", "d"].map((seed) => rows(seed)) });
    bench.nowMs += DAY_MS;
    expect(actions(await bench.prune())).toContain("repacked");
    await bench.expectWhole();
  });

  test("a repacking whose new pack vanishes, or that another prune did too, keeps the old pack", async () => {
    await twoRestorePoints();
    await bench.keepLast(1);
    await bench.prune();
    bench.nowMs += DAY_MS;
    const before = await bench.files("packs");
    const storage = openLocalStorage(bench.path);
    const newPackIsLost = changed(storage, {
      put: async (name, bytes, options) => {
        const stored = await storage.put(name, bytes, options);
        const made = (await bench.files("packs")).filter((file) => !before.includes(file) && !file.endsWith(".moved"));
        if (name.endsWith(".moved")) for (const pack of made) await storage.delete(packObjectName(pack));
        return stored;
      },
    });
    await expect(bench.prune({}, await bench.open(newPackIsLost))).rejects.toMatchObject({ code: "corrupt" });
    expect(await bench.files("packs")).toEqual(expect.arrayContaining(before));
    await bench.expectWhole();
    for (const file of (await bench.files("packs")).filter((name) => name.endsWith(".moved"))) {
      await storage.delete(movedObjectName(file.slice(0, -".moved".length)));
    }
    const isOvertaken = changed(storage, {
      put: async (name, bytes, options) => {
        if (name.endsWith(".moved")) await storage.put(name, Buffer.from("of another prune"));
        return await storage.put(name, bytes, options);
      },
    });
    await expect(bench.prune({}, await bench.open(isOvertaken))).rejects.toMatchObject({ code: "locked" });
    expect(await bench.files("packs")).toEqual(expect.arrayContaining(before));
  });

  test("of two prunes at once at most one works, and everything stays whole", async () => {
    await twoRestorePoints();
    await bench.keepLast(1);
    await bench.prune();
    bench.nowMs += DAY_MS;
    const [one, other] = await Promise.allSettled([bench.prune(), bench.prune()]);
    const failures = [one, other].filter((result) => result.status === "rejected");
    expect(failures.length).toBeGreaterThanOrEqual(1);
    for (const { reason } of failures) expect(reason).toMatchObject({ code: "locked" });
    await bench.prune();
    expect(await bench.files("prune")).toEqual([]);
    await bench.expectWhole();
  });

  test("a run of another machine is watched: one whose counter moves lives, one that stands still is dead", async () => {
    await bench.backUp({ orders: [rows("a")] });
    const slept: number[] = [];
    const sleep = async (timeMs: number): Promise<void> => {
      slept.push(timeMs);
      bench.monotonicMs += timeMs;
      if (slept.length === 4 && isMoving) await writeForeignRecord(bench, 1);
    };
    let isMoving = true;
    await writeForeignRecord(bench, 0);
    await expect(bench.prune({ isWaiting: false })).rejects.toMatchObject({ code: "locked" });
    await expect(bench.prune({ sleep })).rejects.toMatchObject({ code: "locked" });
    expect(slept).toHaveLength(4);
    isMoving = false;
    expect(actions(await bench.prune({ sleep }))).toEqual([]);
    expect((slept.length - 4) * slept[0]!).toBeGreaterThanOrEqual(30 * 60_000);
    expect(await bench.files("runs")).toEqual([]);
  });

  test("a clock a day back deletes nothing early, and its list comes after the others", async () => {
    await bench.backUp({ orders: [rows("a")] });
    await bench.backUp({ orders: [rows("b")] });
    await bench.keepLast(1);
    await bench.prune();
    bench.nowMs -= 2 * DAY_MS;
    await bench.backUp({ orders: [rows("c")] });
    await bench.keepLast(1);
    const back = await bench.prune();
    expect([actions(back), back.waiting.length]).toEqual([["listed"], 1]);
    const lists = await bench.files("prune");
    expect(lists).toHaveLength(2);
    bench.nowMs += 4 * DAY_MS;
    expect(actions(await bench.prune())).toEqual(["deleted", "deleted"]);
    await bench.expectWhole();
  });

  test("a list of a clock that was a year ahead is written anew, and does not wait for a year", async () => {
    await bench.backUp({ orders: [rows("a")] });
    await bench.backUp({ orders: [rows("b")] });
    await bench.keepLast(1);
    bench.nowMs += 365 * DAY_MS;
    expect(actions(await bench.prune())).toEqual(["listed"]);
    bench.nowMs -= 365 * DAY_MS;
    expect(actions(await bench.prune())).toEqual(["listed"]);
    expect(await bench.files("prune")).toHaveLength(1);
    expect(actions(await bench.prune())).toEqual([]);
    bench.nowMs += DAY_MS;
    expect(actions(await bench.prune())).toEqual(["deleted"]);
    await bench.expectWhole();
  });

  test("a listing that does not show the newest manifest yet costs nothing: a later prune takes its packs back", async () => {
    await bench.backUp({ orders: [rows("a")] });
    const newest = await bench.backUp({ orders: [rows("b")] });
    const storage = openLocalStorage(bench.path);
    const stale = changed(storage, {
      list: (prefix, signal) => {
        const objects = storage.list(prefix, signal);
        const shown = async function* (): AsyncGenerator<StoredObject> {
          for await (const object of objects) if (!object.name.includes(newest)) yield object;
        };
        return prefix === "backups/" ? shown() : objects;
      },
    });
    expect(actions(await bench.prune({}, await bench.open(stale)))).toEqual(["listed"]);
    // While it is listed it is not taken over, only stored anew.
    await bench.backUp({ orders: [rows("b")] });
    bench.nowMs += DAY_MS;
    expect(actions(await bench.prune())).toEqual(["taken-back"]);
    expect(await bench.files("prune")).toEqual([]);
    await bench.expectWhole();
  });
});

async function listing(on: PruneBench, prefix: string): Promise<StoredObject[]> {
  const objects: StoredObject[] = [];
  for await (const object of openLocalStorage(on.path).list(prefix)) objects.push(object);
  return objects;
}

/** The record of a prune on another machine. */
async function writeForeignRecord(on: PruneBench, counter: number): Promise<void> {
  const storage = openLocalStorage(on.path);
  const { keyring } = await unlockRepository(storage, { passphrase: PASSPHRASE });
  const runId = "20261101T120000Z-00000000";
  const host = { host: "000000000000", boot: "0", processId: 1, startTicks: "0" };
  const record = { runId, kind: "prune", lineageName: null, startedAt: "", hostName: "elsewhere", process: host };
  const name = `runs/${runId}/${String(counter).padStart(8, "0")}`;
  const bytes = Buffer.from(JSON.stringify(record));
  const item = { kind: "run", encoding: "none", bytes } as const;
  await storage.put(name, await sealObject({ keyring, random: systemRandom }, name, [item]));
}

test("movedObjectName() is beside the pack", () => {
  expect(movedObjectName("20261122T100000Z-0k3m9x2q-0")).toMatch(/^packs\/..\/20261122T100000Z-0k3m9x2q-0\.moved$/);
});
