// The next run of a lineage takes over what one that died or broke off has stored: all of it that is whole, nothing that is
// not, and no prune in between takes it away.

import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openLocalStorage } from "../storage/index.ts";
import { OperatingError } from "../base/errors.ts";
import { unlockRepository } from "./create.ts";
import { systemRandom } from "./environment.ts";
import { packObjectName } from "./identifiers.ts";
import { openKeyRegister } from "./index.ts";
import type { Run } from "./index.ts";
import type { TakenOver } from "./leftover-packs.ts";
import { actions, DAY_MS, PruneBench, rows } from "./prune/prune.fixture.ts";
import { writePruneList } from "./prune/prune-lists.ts";
import { RunObserver } from "./run-record.ts";
import { backUp, changed, CHEAP_SCRYPT, FACTS, PASSPHRASE, temporaryFolder } from "./repository.fixture.ts";
import type { BackupOptions } from "./repository.fixture.ts";
import { sealObject } from "./sealed-object.ts";

/** Packs of 16 KiB: two or three chunks of 6 KB each. */
const SEEDS = Array.from({ length: 24 }, (_, index) => `segment ${index}`);
const TABLES = { orders: SEEDS.map((seed) => rows(seed, 6000)) };
const OBJECTS = { 70001: "a small one", 70002: "a long one ".repeat(200) };

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let bench: PruneBench;
beforeEach(async () => {
  folder = await temporaryFolder();
  bench = await PruneBench.create(join(folder.path, "r"));
});
afterEach(async () => await folder[Symbol.asyncDispose]());

/** A run that stores everything and breaks off before its commit, leaving its packs and its record. */
async function breakOff(options: Partial<BackupOptions> = {}): Promise<string> {
  let runId = "";
  const beforeCommit = async (run: Run): Promise<void> => {
    runId = run.id;
    await Promise.reject(new Error("broken off"));
  };
  const run = { keptBytesMin: 0, takesOver: true };
  await expect(backUp(await bench.open(), { tables: TABLES, largeObjects: OBJECTS, run, beforeCommit, ...options })).rejects.toThrow("broken off"); // prettier-ignore
  return runId;
}

/** The next backup, an hour later, and what it took over. */
async function next(options: Partial<BackupOptions> = {}) {
  bench.nowMs += DAY_MS / 24;
  let takenOver: TakenOver | null = null;
  const facts = { snapshotAt: new Date(bench.nowMs).toISOString() };
  const beforeCommit = async (run: Run): Promise<void> => {
    takenOver = run.takenOver;
    await options.beforeCommit?.(run);
  };
  const tables = options.tables ?? TABLES;
  const run = { takesOver: true };
  const summary = await backUp(await bench.open(), { largeObjects: OBJECTS, run, facts, ...options, tables, beforeCommit }); // prettier-ignore
  bench.expected.set(summary.id, tables);
  return { ...summary, takenOver: takenOver as TakenOver | null };
}

/** As if the run had been killed on a machine of which nobody here knows anything. */
async function makeForeign(runId: string): Promise<void> {
  const storage = openLocalStorage(bench.path);
  const { keyring } = await unlockRepository(storage, { passphrase: PASSPHRASE });
  for await (const { name } of storage.list(`runs/${runId}/`)) await storage.delete(name);
  const host = { host: "000000000000", boot: "0", processId: 1, startTicks: "0" };
  const { name: lineageName } = FACTS.lineage;
  const record = { runId, kind: "backup", lineageName, startedAt: "", hostName: "elsewhere", process: host };
  const name = `runs/${runId}/00000007`;
  const item = { kind: "run", encoding: "none", bytes: Buffer.from(JSON.stringify(record)) } as const;
  await storage.put(name, await sealObject({ keyring, random: systemRandom }, name, [item]));
}

async function flip(pack: string, offset: number): Promise<void> {
  const path = join(bench.path, packObjectName(pack));
  const bytes = await readFile(path);
  bytes[offset]! ^= 1;
  await writeFile(path, bytes);
}

describe("a run that broke off", () => {
  test("is taken over by the next one of its lineage: nothing but lists is stored again", async () => {
    const runId = await breakOff();
    const packs = await bench.files("packs");
    expect(packs.length).toBeGreaterThan(3);
    expect(await (await bench.open()).runs()).toMatchObject([{ runId, state: "dead", record: { packCount: packs.length } }]); // prettier-ignore
    const { takenOver, totals } = await next();
    expect(takenOver).toMatchObject({ runIds: [runId], refused: [] });
    // The last pack was not durable yet when it broke off; its chunks are stored anew.
    expect(takenOver!.chunkCount).toBeGreaterThanOrEqual(totals.chunks - 6);
    expect(totals.reusedChunks).toBe(takenOver!.chunkCount);
    expect(totals.newBytes).toBeLessThan(takenOver!.bytes / 3);
    await bench.expectWhole();
    const { findings, leftovers } = await (await bench.open()).check({ readFraction: 1 });
    expect([findings, leftovers.runs, leftovers.packs]).toEqual([[], [], []]);
  });

  test("what of it is not needed any more is pruned as before", async () => {
    await breakOff();
    const changedTables = {
      orders: TABLES.orders.map((text, index) => (index < 6 || index % 2 === 0 ? `${text}x\n` : text)),
    };
    const { takenOver } = await next({ tables: changedTables });
    expect(takenOver!.chunkCount).toBeGreaterThan(2);
    const before = (await bench.files("packs")).length;
    const listed = actions(await bench.prune());
    expect(listed).toContain("listed");
    expect(listed).toContain("listed-in-part");
    bench.nowMs += 2 * DAY_MS;
    expect(actions(await bench.prune())).toEqual(expect.arrayContaining(["deleted", "repacked"]));
    expect((await bench.files("packs")).filter((name) => !name.endsWith(".moved")).length).toBeLessThan(before);
    await bench.expectWhole();
  });

  test("is not taken over by another lineage, and leaves nothing when it has stored little", async () => {
    await breakOff();
    const lineage = { ...FACTS.lineage, name: "other@db1", databaseOid: 5 };
    const facts = { lineage, snapshotAt: new Date(bench.nowMs).toISOString() };
    const other = await backUp(await bench.open(), { tables: TABLES, facts, run: { takesOver: true } });
    expect(other.totals.reusedChunks).toBe(0);
    const before = await bench.files("packs");
    await expect(breakOff({ run: { keptBytesMin: 1e9 } })).resolves.toBeTruthy();
    expect(await bench.files("packs")).toEqual(before);
    expect((await next()).takenOver!.chunkCount).toBeGreaterThan(8);
  });

  test("twice: the next one takes over from both", async () => {
    const first = await breakOff({ tables: { orders: TABLES.orders.slice(0, 12) } });
    bench.nowMs += DAY_MS / 24;
    const second = await breakOff();
    const { takenOver, totals } = await next();
    expect(takenOver!.runIds).toEqual([first, second]);
    expect(takenOver!.chunkCount).toBeGreaterThanOrEqual(totals.chunks - 8);
    await bench.expectWhole();
    expect(await bench.files("runs")).toEqual([]);
  });

  test("because it was killed on another machine is taken over once a prune has watched it", async () => {
    const runId = await breakOff();
    await makeForeign(runId);
    expect((await bench.open().then(async (opened) => await opened.runs()))[0]).toMatchObject({ state: "unknown" });
    const slept: number[] = [];
    const sleep = async (timeMs: number): Promise<void> => {
      slept.push(timeMs);
      bench.monotonicMs += timeMs;
      await Promise.resolve();
    };
    await bench.prune({ sleep });
    const { length } = slept;
    expect(length).toBeGreaterThan(0);
    // Nobody has to watch it again.
    await bench.prune({ sleep });
    expect(slept).toHaveLength(length);
    expect((await next()).takenOver!.chunkCount).toBeGreaterThan(8);
    await bench.expectWhole();
    expect(await bench.files("runs")).toEqual([]);
  });

  test("under an earlier data key is taken over too", async () => {
    await breakOff();
    const options = { passphrase: PASSPHRASE, scryptCost: CHEAP_SCRYPT };
    const keys = await openKeyRegister(openLocalStorage(bench.path), options);
    await keys.rotate({ dropsOthers: false });
    expect((await next()).takenOver!.chunkCount).toBeGreaterThan(8);
    await bench.expectWhole();
  });
});

describe("a pack that a run left", () => {
  test.each([
    ["in a chunk", 500],
    ["in its header", 40],
    ["in its contents", -100],
    ["in its trailer", -5],
  ])("with a bit flipped %s is not taken over, and that is said", async (_, at) => {
    const runId = await breakOff();
    const pack = `${runId}-1`;
    const { length } = await readFile(join(bench.path, packObjectName(pack)));
    await flip(pack, at < 0 ? length + at : at);
    const { takenOver } = await next();
    expect(takenOver!.refused).toMatchObject([{ pack }]);
    expect(takenOver!.chunkCount).toBeGreaterThan(4);
    await bench.expectWhole();
    const { manifest } = await (await bench.open()).openRestorePoint([...bench.expected.keys()].at(-1)!);
    expect(manifest.packs.map(([name]) => name)).not.toContain(pack);
  });

  test("under the name of another one is not taken over", async () => {
    const runId = await breakOff();
    const [one, other] = [`${runId}-0`, `${runId}-1`].map((name) => join(bench.path, packObjectName(name))) as [string, string]; // prettier-ignore
    await writeFile(other, await readFile(one));
    expect((await next()).takenOver!.refused).toMatchObject([{ pack: `${runId}-1` }]);
    await bench.expectWhole();
  });
});

describe("beside prune", () => {
  test("what broke off within the grace is not listed, later it is; and what is listed is not taken over", async () => {
    await breakOff();
    expect(actions(await bench.prune())).toEqual([]);
    bench.nowMs += 2 * DAY_MS;
    expect(actions(await bench.prune())).toContain("listed");
    bench.nowMs += 2 * DAY_MS;
    const { takenOver, totals } = await next();
    expect([takenOver!.chunkCount, totals.reusedChunks]).toEqual([0, 0]);
    // As one that took that backup for dead while its machine was paused, and began to delete.
    expect(actions(await bench.prune())).toContain("deleted");
    await bench.expectWhole();
  });

  test("what is listed after it was taken over is not committed", async () => {
    const runId = await breakOff();
    const { keyring } = await unlockRepository(openLocalStorage(bench.path), { passphrase: PASSPHRASE });
    const clock = { now: () => new Date(bench.nowMs), monotonicMs: () => 0 };
    const context = { storage: openLocalStorage(bench.path), keyring, random: systemRandom, clock, packSizeBytes: 1 };
    const beforeCommit = async (): Promise<void> => {
      await writePruneList(context as never, { packs: [`${runId}-0`], items: {}, runs: [] }, null);
    };
    await expect(next({ beforeCommit })).rejects.toMatchObject({ code: "corrupt", message: expect.stringMatching(/is about to be pruned/) as string }); // prettier-ignore
    await bench.expectWhole();
  });

  test("nothing is taken over while a prune is at work, which may not have seen the claim", async () => {
    await breakOff();
    const during = { chunkCount: -1, ran: false };
    const storage = openLocalStorage(bench.path);
    const pausing = changed(storage, {
      list: async function* (prefix, signal) {
        if (prefix === "packs/" && !during.ran) {
          during.ran = true;
          during.chunkCount = (await next()).totals.reusedChunks;
        }
        yield* storage.list(prefix, signal);
      },
    });
    await bench.prune({ isWaiting: false }, await bench.open(pausing));
    expect(during).toEqual({ ran: true, chunkCount: 0 });
    await bench.expectWhole();
  });

  test("a prune that lists unneeded packs does not forget the run while they are there", async () => {
    await breakOff();
    await bench.prune();
    await bench.prune();
    expect((await next()).takenOver!.chunkCount).toBeGreaterThan(8);
    bench.nowMs += 2 * DAY_MS;
    await breakOff({ tables: { orders: [rows("else", 20_000)] } });
    for (let days = 0; days < 2; days += 1) {
      await bench.prune();
      bench.nowMs += 2 * DAY_MS;
    }
    await bench.prune();
    expect(await bench.files("runs")).toEqual([]);
    await bench.expectWhole();
  });
});

describe("a run that gives up", () => {
  /** What a machine elsewhere does meanwhile: a prune finds the run dead, a backup takes it over. */
  async function takeOverElsewhere(runId: string): Promise<void> {
    const opened = await bench.open();
    const { keyring } = await unlockRepository(openLocalStorage(bench.path), { passphrase: PASSPHRASE });
    const place = { storage: openLocalStorage(bench.path), keyring, random: systemRandom, clock: { now: () => new Date(bench.nowMs), monotonicMs: () => 0 } }; // prettier-ignore
    const seen = (await opened.runs()).find((run) => run.runId === runId);
    if (seen !== undefined) await new RunObserver(place).declareDead(seen);
    await next();
  }

  /** A run that has stored little, and gives up; `onDelete` is asked before each delete. */
  async function giveUp(onDelete: (name: string) => Promise<void>): Promise<string> {
    const storage = openLocalStorage(bench.path);
    const slow = changed(storage, {
      delete: async (name, signal) => {
        await onDelete(name);
        await storage.delete(name, signal);
      },
    });
    let runId = "";
    const beforeCommit = async (run: Run): Promise<void> => {
      runId = run.id;
      await Promise.reject(new Error("given up"));
    };
    await expect(backUp(await bench.open(slow), { tables: TABLES, beforeCommit })).rejects.toThrow("given up");
    return runId;
  }

  test.each([
    ["by its first delete", 0, true],
    ["by a later delete", 2, false],
  ])("deletes nothing that another one has taken over when its network hangs %s", async (_, at, isTakenOver) => {
    let deletes = 0;
    await giveUp(async () => {
      deletes += 1;
      if (deletes - 1 !== at) return;
      const runId = (await (await bench.open()).runs())[0]?.runId;
      [bench.nowMs, bench.monotonicMs] = [bench.nowMs + DAY_MS / 24, bench.monotonicMs + DAY_MS / 24];
      if (runId === undefined) await next();
      else await takeOverElsewhere(runId);
    });
    const { manifest } = await (await bench.open()).openRestorePoint([...bench.expected.keys()].at(-1)!);
    const runIds = new Set(manifest.packs.map(([name]) => name.slice(0, name.lastIndexOf("-"))));
    expect(runIds.size).toBe(isTakenOver ? 2 : 1);
    await bench.expectWhole();
  });

  test("leaves its packs when its record cannot be removed, or is not its own any more", async () => {
    const failing = async (name: string): Promise<void> => {
      if (name.startsWith("runs/")) await Promise.reject(new OperatingError("storage_failed", "connection reset"));
    };
    const first = await giveUp(failing);
    const packs = (await bench.files("packs")).filter((name) => name.startsWith(first));
    expect(packs.length).toBeGreaterThan(2);
  });

  test.each([
    ["commits nothing", false],
    ["deletes nothing", true],
  ])("when others took it for dead while none of its clocks told, %s", async (_, givesUp) => {
    let runId = "";
    const beforeCommit = async (run: Run): Promise<void> => {
      runId = run.id;
      const stoodAtMs = bench.nowMs;
      await takeOverElsewhere(run.id);
      bench.nowMs = stoodAtMs;
      if (givesUp) await Promise.reject(new Error("given up"));
    };
    const failure = givesUp ? "given up" : "the run's record was removed by others, who took it for dead";
    await expect(backUp(await bench.open(), { tables: TABLES, beforeCommit })).rejects.toThrow(failure);
    const { manifest } = await (await bench.open()).openRestorePoint([...bench.expected.keys()].at(-1)!);
    expect(manifest.packs.map(([name]) => name)).toContain(`${runId}-0`);
    await bench.expectWhole();
  });
});

test("a run whose process was killed in the middle is taken over", async () => {
  // Another process: one that is gone, as the observer can tell.
  const child = spawn(process.execPath, [fileURLToPath(new URL("./killed-run.fixture.ts", import.meta.url)), bench.path], { stdio: "inherit" }); // prettier-ignore
  const [, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.once("exit", (code, by) => resolve([code, by]));
  });
  expect(signal).toBe("SIGKILL");
  const packs = await bench.files("packs");
  expect(packs.length).toBeGreaterThanOrEqual(2);
  expect(await (await bench.open()).restorePoints()).toEqual([]);
  bench.nowMs = Date.now();
  const tables = { orders: SEEDS.map((seed) => rows(seed, 6000)) };
  const { takenOver, totals } = await next({ tables, largeObjects: {} });
  expect(takenOver!.chunkCount).toBeGreaterThanOrEqual(4);
  expect(totals.newBytes).toBeLessThan(totals.sealedBytes);
  await bench.expectWhole();
  expect((await (await bench.open()).leftovers()).runs).toEqual([]);
});
