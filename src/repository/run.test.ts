import { spawnSync } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { OperatingError } from "../base/errors.ts";
import { openLocalStorage } from "../storage/index.ts";
import type { ObjectWriter } from "../storage/index.ts";
import { createRepository, openRepository } from "./index.ts";
import { packObjectName } from "./identifiers.ts";
import type { RestorePointSummary } from "./manifest.ts";
import {
  backUp,
  changed,
  CHEAP_SCRYPT,
  chunkOf,
  ENCRYPTION,
  FACTS,
  PASSPHRASE,
  readTables,
  smallRepository,
  temporaryFolder,
  TOC,
} from "./repository.fixture.ts";

const TABLES = { orders: ["1\ta\n", "2\tb\n"], items: ["9\tz\n"] };

test("Run.commit() withdraws the manifest when a reused pack goes away meanwhile", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const { repository } = await smallRepository(storage);
  const first = await backUp(repository, { tables: TABLES });
  const pack = packObjectName(`${first.runId}-0`);
  const vanishing = changed(storage, {
    put: async (name, bytes, options) => {
      if (name.startsWith("backups/")) await storage.delete(pack);
      return await storage.put(name, bytes, options);
    },
  });
  const opened = await openRepository(vanishing, { passphrase: PASSPHRASE });
  await expect(backUp(opened, { tables: TABLES })).rejects.toMatchObject({
    code: "corrupt",
    message: expect.stringContaining("is missing") as string,
  });
  expect((await repository.restorePoints()).map(({ id }) => id)).toEqual([first.id]);
  const again = await backUp(repository, { tables: TABLES });
  expect(again.totals.reusedChunks).toBe(0);
  expect(await readTables(await repository.openRestorePoint(again.id))).toEqual(TABLES);
});

test("Run.commit() makes no restore point when a pack of its own is gone, before or after its manifest is written", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const { repository } = await smallRepository(storage);
  const loseOwnPacks = async (): Promise<void> => {
    const [run] = await repository.runs();
    await storage.delete(packObjectName(`${run!.runId}-0`));
  };
  const puts: string[] = [];
  const before = changed(storage, {
    put: async (name, bytes, options) => {
      puts.push(name);
      return await storage.put(name, bytes, options);
    },
    head: async (name, signal) => {
      if (name.startsWith("packs/")) await loseOwnPacks();
      return await storage.head(name, signal);
    },
  });
  const after = changed(storage, {
    put: async (name, bytes, options) => {
      if (name.startsWith("backups/")) await loseOwnPacks();
      return await storage.put(name, bytes, options);
    },
  });
  for (const changedStorage of [before, after]) {
    const opened = await openRepository(changedStorage, { passphrase: PASSPHRASE });
    await expect(backUp(opened, { tables: TABLES })).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringMatching(/which this run wrote, is missing/) as string,
    });
    expect(await repository.restorePoints()).toEqual([]);
  }
  expect(puts.filter((name) => name.startsWith("backups/"))).toEqual([]);
});

test("Run.commit() fails when the manifest reads back otherwise", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const { repository } = await smallRepository(storage);
  const lying = changed(storage, {
    put: async (name, bytes, options) => {
      const isManifest = name.startsWith("backups/");
      return await storage.put(name, isManifest ? bytes.subarray(0, bytes.length - 1) : bytes, options);
    },
  });
  const opened = await openRepository(lying, { passphrase: PASSPHRASE });
  await expect(backUp(opened, { tables: TABLES })).rejects.toMatchObject({ code: "corrupt" });
  expect(await repository.restorePoints()).toEqual([]);
  expect(await repository.leftovers()).toMatchObject({ runs: [], packs: [{}], unfinished: [], unreadable: [] });
});

test("Run.commit() that fails after its manifest was seen leaves what others took over from it", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const { repository } = await smallRepository(storage);
  let other: RestorePointSummary | null = null;
  const failing = changed(storage, {
    read: async (name, range, signal) => {
      if (!name.startsWith("backups/") || other !== null) return await storage.read(name, range, signal);
      // The manifest is there, and is about to be read back.
      other = await backUp(repository, { tables: TABLES });
      throw new OperatingError("storage_failed", "connection reset");
    },
  });
  const opened = await openRepository(failing, { passphrase: PASSPHRASE });
  await expect(backUp(opened, { tables: TABLES })).rejects.toMatchObject({ code: "storage_failed" });
  const { id, totals } = other as unknown as RestorePointSummary;
  expect(totals.reusedChunks).toBe(totals.chunks);
  expect((await repository.restorePoints()).map((one) => one.id)).toEqual([id]);
  expect(await readTables(await repository.openRestorePoint(id))).toEqual(TABLES);
});

test("Run.commit(): a manifest that arrives after it was withdrawn is whole", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const { repository } = await smallRepository(storage);
  let arrive = async (): Promise<unknown> => await Promise.reject(new Error("no manifest was put"));
  const late = changed(storage, {
    put: async (name, bytes, options) => {
      if (!name.startsWith("backups/")) return await storage.put(name, bytes, options);
      arrive = async () => await storage.put(name, bytes, options);
      throw new OperatingError("storage_failed", "timed out");
    },
  });
  const opened = await openRepository(late, { passphrase: PASSPHRASE });
  await expect(backUp(opened, { tables: TABLES })).rejects.toMatchObject({ code: "storage_failed" });
  await arrive();
  const [found] = await repository.restorePoints();
  expect(await readTables(await repository.openRestorePoint(found!.id))).toEqual(TABLES);
});

test("Run.storeChunk() and commit() fail when a pack cannot be made durable", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  await smallRepository(storage);
  const full = changed(storage, {
    openWriter: async (name, options): Promise<ObjectWriter> => {
      const writer = await storage.openWriter(name, options);
      const finish = async (): Promise<never> => await Promise.reject(new OperatingError("no_space", "disk full"));
      return changed(writer as never, { finish } as never) as never;
    },
  });
  const opened = await openRepository(full, { passphrase: PASSPHRASE });
  await expect(backUp(opened, { tables: TABLES })).rejects.toMatchObject({ code: "no_space" });
  expect(await opened.restorePoints()).toEqual([]);
  expect(await opened.leftovers()).toEqual({ runs: [], packs: [], unfinished: [], unreadable: [] });
});

test("Run.storeChunk() serves many calls at once and rolls packs over", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  const run = await repository.startRun({ kind: "backup" });
  const texts = Array.from({ length: 300 }, (_, index) => `${index}\t${index ** 5}\n`.repeat(1 + (index % 90)));
  const chunks = await Promise.all(
    texts.map(async (text) => {
      const { bytes: _, ...chunk } = chunkOf(repository.chunkIdSecret, text);
      return await run.storeChunk({ ...chunk, encoding: "none", bytes: Buffer.from(text) });
    }),
  );
  const list = run.openSegmentList();
  for (const [index, chunk] of chunks.entries()) {
    await list.add({ firstBlock: index, blockCount: 1, rowCount: chunk.rowCount, chunks: [chunk] });
  }
  const place = { dumpId: 1, oid: 1, namespace: "public", name: "t", storage: null, blockCount: 300, segmentBlocks: 1 };
  const relations = [{ ...place, ...(await list.finish()) }];
  const { id } = await run.commit({ ...FACTS, relations, largeObjects: [], toc: TOC });
  const restorePoint = await repository.openRestorePoint(id);
  expect(restorePoint.manifest.packs.length).toBeGreaterThan(10);
  for (const [, size] of restorePoint.manifest.packs) expect(size).toBeLessThan(40_000);
  expect(await readTables(restorePoint)).toEqual({ t: texts });
  expect((await repository.verifyRestorePoint(restorePoint)).isWhole).toBe(true);
});

test("Repository.startRun() clears up after a killed process, and leftovers() names its packs", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  const first = await backUp(repository, { tables: TABLES });
  const program = `
    import { openLocalStorage } from ${JSON.stringify(new URL("../storage/index.ts", import.meta.url).href)};
    import { openRepository } from ${JSON.stringify(new URL("./index.ts", import.meta.url).href)};
    const repository = await openRepository(openLocalStorage(${JSON.stringify(folder.path)}), { passphrase: ${JSON.stringify(PASSPHRASE)} });
    const run = await repository.startRun({ kind: "backup" });
    const bytes = Buffer.alloc(12000);
    for (let index = 0; index < 4; index += 1)
      await run.storeChunk({ kind: "table", id: Buffer.alloc(32), rawLengthBytes: 12000, rowCount: 1, continues: false, encoding: "none", bytes });
    process.kill(process.pid, "SIGKILL");`;
  const child = spawnSync(process.execPath, ["--input-type=module", "-e", program]);
  expect(child.signal).toBe("SIGKILL");
  const left = await repository.leftovers();
  expect(left.runs).toMatchObject([{ state: "dead" }]);
  const unfinished = left.unfinished ?? [];
  expect(left.packs.length + unfinished.length).toBeGreaterThanOrEqual(1);
  expect(unfinished.every(({ isDead }) => isDead)).toBe(true);
  const second = await backUp(repository, { tables: TABLES });
  expect(second.parentId).toBe(first.id);
  const after = await repository.leftovers();
  expect(after).toEqual({ runs: [], packs: left.packs, unfinished: [], unreadable: [] });
});

test("a run renews its counter, and is dead when it stands still for 30 minutes", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  try {
    await using folder = await temporaryFolder();
    let nowMs = 0;
    const clock = { now: () => new Date(Date.UTC(2026, 10, 22) + nowMs), monotonicMs: () => nowMs };
    const options = { encryption: ENCRYPTION, scryptCost: CHEAP_SCRYPT, clock };
    const { repository } = await createRepository(openLocalStorage(folder.path), options);
    const run = await repository.startRun({ kind: "backup", lineageName: "shop" });
    const counters = async (): Promise<string[]> => await readdir(join(folder.path, "runs", run.id));
    expect(await counters()).toEqual(["00000000"]);
    vi.advanceTimersByTime(60_000);
    await vi.waitFor(async () => expect(await counters()).toEqual(["00000000", "00000001"]));
    expect(await repository.runs()).toMatchObject([{ state: "alive", counter: 1, record: { lineageName: "shop" } }]);
    // Seen from here the process lives, so standing still alone does not make it dead.
    nowMs += 31 * 60_000;
    expect(await repository.runs()).toMatchObject([{ state: "alive" }]);
    await expect(run.commit({ ...FACTS, relations: [], largeObjects: [], toc: TOC })).rejects.toMatchObject({
      code: "stalled",
    });
    await run.abort();
    expect(await repository.runs()).toEqual([]);
    await rm(folder.path, { recursive: true });
  } finally {
    vi.useRealTimers();
  }
});
