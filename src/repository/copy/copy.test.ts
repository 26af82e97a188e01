// Copies between repositories that were made alike, and between others.

import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openLocalStorage } from "../../storage/index.ts";
import { createRepository } from "../index.ts";
import type { Repository, RestorePointSummary } from "../index.ts";
import { packObjectName } from "../identifiers.ts";
import { rows } from "../prune/prune.fixture.ts";
import { backUp, changed, CHEAP_SCRYPT, FACTS, NO_RULES, readTables, temporaryFolder } from "../repository.fixture.ts";
import type { TableTexts } from "../repository.fixture.ts";
import { makePair, MODES, openPlace, packsIn, wholeTables } from "./copy.fixture.ts";
import type { Mode, Place } from "./copy.fixture.ts";

const FIRST: TableTexts = {
  orders: Array.from({ length: 12 }, (_, index) => rows(`a${index}`)),
  items: ["9\tz\n"],
  none: [],
};
const SECOND: TableTexts = { ...FIRST, orders: [...FIRST["orders"]!.slice(0, 11), rows("changed")] };
const LARGE = { 70001: "small", 70002: "x".repeat(3000) };
const PRUNE = { graceMs: 0, unusedFractionMax: 0, isDryRun: false, isWaiting: false };

const at = (minute: number): string => `2026-11-22T10:${String(minute).padStart(2, "0")}:00.000Z`;

/** Backs up both states, a minute apart. */
async function twoBackups(from: Repository): Promise<readonly [RestorePointSummary, RestorePointSummary]> {
  const first = await backUp(from, {
    tables: FIRST,
    facts: { snapshotAt: at(1), globals: { roles: [] } },
    largeObjects: LARGE,
  });
  const second = await backUp(from, { tables: SECOND, facts: { snapshotAt: at(2) } });
  return [first, second];
}

interface Bench {
  readonly from: Place;
  readonly to: Place;
  readonly source: Repository;
  readonly target: Repository;
}

async function bench(folder: string, mode: Mode): Promise<Bench> {
  const { from, to } = await makePair(folder, mode);
  return { from, to, source: await openPlace(from), target: await openPlace(to) };
}

describe.each(MODES)("Repository.copyFrom(), repositories %s,", (mode) => {
  test("makes a whole restore point with the id, times and facts of the other, readable without it", async () => {
    await using folder = await temporaryFolder();
    const { from, source, target, to } = await bench(folder.path, mode);
    const [first, second] = await twoBackups(source);
    for (const { id } of [first, second]) {
      const { summary } = await target.copyFrom(source, id);
      expect(summary.copiedFrom).toMatchObject({ repositoryId: source.id, restorePointId: id });
    }
    await rm(from.path, { recursive: true });
    const opened = await openPlace(to);
    const [newest, oldest] = await opened.restorePoints();
    const { copiedFrom: _, parentId: __, runId: ___, totals, ...facts } = oldest!;
    expect(first).toMatchObject(facts);
    expect(totals).toMatchObject({ rows: first.totals.rows, rawBytes: first.totals.rawBytes, largeObjects: 2 });
    expect(newest).toMatchObject({ id: second.id, parentId: first.id, finishedAt: second.finishedAt });
    expect(await wholeTables(opened, first.id)).toEqual(FIRST);
    expect(await wholeTables(opened, second.id)).toEqual(SECOND);
    const restorePoint = await opened.openRestorePoint(first.id);
    expect(restorePoint.manifest.globals).toEqual({ roles: [] });
    expect(restorePoint.toc.length).toBeGreaterThan(0);
    expect(await opened.leftovers()).toMatchObject({ runs: [], packs: [], unreadable: [] });
    expect((await opened.check({ readFraction: 1 })).findings).toEqual([]);
  });

  test("stores, and reads, only what is new since the last copy; the same one again is refused", async () => {
    await using folder = await temporaryFolder();
    const { source, target } = await bench(folder.path, mode);
    const [first, second] = await twoBackups(source);
    const whole = await target.copyFrom(source, first.id);
    expect(whole.resealedChunkCount === 0).toBe(mode === "alike");
    expect(whole.summary.totals).toMatchObject({ reusedChunks: 0 });
    const before = source.transfer.bytesRead;
    const { resealedChunkCount, summary } = await target.copyFrom(source, second.id);
    // One chunk changed, and it is more than half of the pack that its backup wrote.
    expect(resealedChunkCount).toBe(mode === "alike" ? 0 : 1);
    expect(summary.totals.newBytes).toBeLessThan(whole.summary.totals.newBytes / 3);
    expect(source.transfer.bytesRead - before).toBeLessThan(whole.summary.totals.newBytes / 2);
    expect(summary.totals.reusedChunks).toBe(summary.totals.chunks - 1);
    await expect(target.copyFrom(source, second.id)).rejects.toMatchObject({ code: "repository_exists" });
    expect(await wholeTables(target, second.id)).toEqual(SECOND);
  });

  test("takes over what a backup stored there, and what is left of the parent when the source has it no more", async () => {
    await using folder = await temporaryFolder();
    const { source, target } = await bench(folder.path, mode);
    const [first, second] = await twoBackups(source);
    await target.copyFrom(source, first.id);
    await source.expire({ rules: { ...NO_RULES, last: 1 }, isDryRun: false });
    const { summary } = await target.copyFrom(source, second.id);
    expect(summary.totals.reusedChunks).toBe(summary.totals.chunks - 1);
    // A backup into the copy goes on from what was copied.
    const next = await backUp(target, { tables: SECOND, facts: { snapshotAt: at(3) } });
    expect(next.totals).toMatchObject({ reusedChunks: next.totals.chunks });
  });

  test("keeps the order of a lineage also when the newer one was copied first", async () => {
    await using folder = await temporaryFolder();
    const { source, target } = await bench(folder.path, mode);
    const [first, second] = await twoBackups(source);
    await target.copyFrom(source, second.id);
    const { summary } = await target.copyFrom(source, first.id);
    expect(summary.totals.reusedChunks).toBeGreaterThan(10);
    expect((await target.restorePoints()).map(({ id }) => id)).toEqual([second.id, first.id]);
    expect(await wholeTables(target, first.id)).toEqual(FIRST);
    expect(await target.resolve("latest")).toBe(second.id);
    expect(await target.resolve(`${FACTS.lineage.name}@${at(1)}`)).toBe(first.id);
  });

  test("copies a copy", async () => {
    await using folder = await temporaryFolder();
    const { source, target } = await bench(folder.path, mode);
    const [first] = await twoBackups(source);
    await target.copyFrom(source, first.id);
    const third = await makePair(join(folder.path, "third"), mode);
    const last = await openPlace(third.to);
    const { summary } = await last.copyFrom(target, first.id);
    expect(summary.copiedFrom).toMatchObject({ repositoryId: target.id, restorePointId: first.id });
    expect(await wholeTables(last, first.id)).toEqual(FIRST);
  });

  test("copies what a prune has repacked in the source, and beside what one has repacked in the target", async () => {
    await using folder = await temporaryFolder();
    const { source, target } = await bench(folder.path, mode);
    const [first, second] = await twoBackups(source);
    await target.copyFrom(source, first.id);
    await source.expire({ rules: { ...NO_RULES, last: 1 }, isDryRun: false });
    for (const repository of [source, source]) await repository.prune(PRUNE);
    await target.copyFrom(source, second.id);
    expect(await wholeTables(target, second.id)).toEqual(SECOND);
    await target.expire({ rules: { ...NO_RULES, last: 1 }, isDryRun: false });
    const results = [await target.prune(PRUNE), await target.prune(PRUNE)];
    expect(results.flatMap(({ decisions }) => decisions.map(({ action }) => action))).toContain("repacked");
    const third = await backUp(source, { tables: SECOND, facts: { snapshotAt: at(3) } });
    const { summary } = await target.copyFrom(source, third.id);
    expect(summary.totals.reusedChunks).toBe(summary.totals.chunks);
    expect(await wholeTables(target, third.id)).toEqual(SECOND);
  });

  test("fails by name on a chunk that is damaged in the source, and leaves nothing that counts", async () => {
    await using folder = await temporaryFolder();
    const { from, source, target, to } = await bench(folder.path, mode);
    const [first] = await twoBackups(source);
    const [pack, bytes] = [...(await packsIn(from))].find(([, content]) => content.length > 10_000)!;
    bytes[100]! ^= 1;
    await writeFile(join(from.path, packObjectName(pack)), bytes);
    await expect(target.copyFrom(source, first.id)).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining(`of pack ${pack}`) as string,
    });
    expect(await target.restorePoints()).toEqual([]);
    expect(await target.runs()).toEqual([]);
    // The damaged pack did not get there.
    expect([...(await packsIn(to)).keys()]).not.toContain(pack);
  });

  test("beside a prune that looks while it is at work, and a backup of the same lineage after it", async () => {
    await using folder = await temporaryFolder();
    const { source, target, to } = await bench(folder.path, mode);
    const [first] = await twoBackups(source);
    const pruning = await openPlace(to);
    let decisions: readonly unknown[] = ["none was made"];
    // When everything is stored and the manifest is about to be written.
    const storage = openLocalStorage(to.path);
    const put: typeof storage.put = async (name, ...rest) => {
      if (name.startsWith("backups/")) ({ decisions } = await pruning.prune(PRUNE));
      return await storage.put(name, ...rest);
    };
    const watched = await openPlace(to, changed(storage, { put }));
    await watched.copyFrom(source, first.id);
    expect(decisions).toEqual([]);
    await pruning.prune(PRUNE);
    expect(await wholeTables(target, first.id)).toEqual(FIRST);
  });

  test("copies a cluster restore point, which has no data of its own", async () => {
    await using folder = await temporaryFolder();
    const { source, target } = await bench(folder.path, mode);
    const [member] = await twoBackups(source);
    const sums = { rowCount: 1, rawBytes: 1, sealedBytes: 1, newBytes: 1 };
    const members = [
      { databaseName: "shop", lineageName: "shop@db1", restorePointId: member.id, error: null, ...sums },
    ];
    const lineage = { ...FACTS.lineage, name: "cluster:db1", databaseOid: 0, databaseName: "*" };
    await using run = await source.startRun({ kind: "cluster backup", lineageName: lineage.name });
    const data = { relations: [], largeObjects: [], toc: new Uint8Array(), globals: { roles: [1] } };
    const cluster = await run.commit({ ...FACTS, lineage, cluster: { members, leftOut: ["template0"] }, ...data });
    const { summary } = await target.copyFrom(source, cluster.id);
    expect(summary).toMatchObject({ id: cluster.id, cluster: { members, leftOut: ["template0"] } });
    expect((await target.openRestorePoint(cluster.id)).manifest.globals).toEqual({ roles: [1] });
  });
});

describe("Repository.copyFrom() between repositories made alike", () => {
  test("moves packs byte for byte, and does not send again what an earlier try has brought", async () => {
    await using folder = await temporaryFolder();
    const { from, source, target, to } = await bench(folder.path, "alike");
    const [first] = await twoBackups(source);
    const storage = openLocalStorage(to.path);
    const broken = changed(storage, {
      put: async (name, ...rest) => {
        if (name.startsWith("backups/")) throw new Error("broken off");
        return await storage.put(name, ...rest);
      },
    });
    await expect((await openPlace(to, broken)).copyFrom(source, first.id)).rejects.toThrow("broken off");
    expect(await target.restorePoints()).toEqual([]);
    const { movedBytes, summary } = await target.copyFrom(source, first.id);
    expect(movedBytes).toBe(0);
    expect(summary.totals.newBytes).toBeLessThan(summary.totals.sealedBytes / 4);
    const [theirs, ours] = [await packsIn(from), await packsIn(to)];
    const moved = [...ours].filter(([name]) => theirs.has(name));
    expect(moved.length).toBeGreaterThan(1);
    for (const [name, bytes] of moved) expect(bytes.equals(theirs.get(name)!)).toBe(true);
    expect(await wholeTables(target, first.id)).toEqual(FIRST);
  });

  test("seals anew what a prune is about to remove, and what is needed of a pack with damage elsewhere in it", async () => {
    await using folder = await temporaryFolder();
    const { from, source, target, to } = await bench(folder.path, "alike");
    const [first, second] = await twoBackups(source);
    await target.copyFrom(source, first.id);
    await rm(join(to.path, "backups"), { recursive: true });
    const emptied = await openPlace(to);
    await emptied.prune(PRUNE);
    const listed = await emptied.copyFrom(source, first.id);
    expect(listed).toMatchObject({ movedPackCount: 0 });
    expect(listed.resealedChunkCount).toBe(listed.summary.totals.chunks);
    await target.prune(PRUNE);
    expect(await wholeTables(target, first.id)).toEqual(FIRST);
    // The last segment of the first restore point is not needed by the second.
    const chunk = await lastChunk(source, first.id);
    const name = join(from.path, packObjectName(chunk.pack));
    const bytes = (await packsIn(from)).get(chunk.pack)!;
    bytes[chunk.offset + 5]! ^= 1;
    await writeFile(name, bytes);
    const third = await openPlace(await makeAlike(source, join(folder.path, "third")));
    await third.copyFrom(source, second.id);
    expect(await wholeTables(third, second.id)).toEqual(SECOND);
    await expect(third.copyFrom(source, first.id)).rejects.toMatchObject({ code: "corrupt" });
  });

  test("does not bring back a pack that a prune has repacked in the target: what it lacks is sealed anew", async () => {
    await using folder = await temporaryFolder();
    const { source, target, to } = await bench(folder.path, "alike");
    const [first] = await twoBackups(source);
    // Of each pack of the first one, most is not needed any more.
    const orders = FIRST["orders"]!.map((text, index) => (index % 4 === 0 ? text : rows(`new${index}`)));
    const third = await backUp(source, { tables: { orders }, facts: { snapshotAt: at(3) } });
    for (const { id } of [first, third]) await target.copyFrom(source, id);
    await target.expire({ rules: { ...NO_RULES, last: 1 }, isDryRun: false });
    for (const repository of [target, target]) await repository.prune(PRUNE);
    const moved = [...(await packsIn(to)).keys()].filter((name) => name.endsWith(".moved"));
    expect(moved).not.toEqual([]);
    const { resealedChunkCount } = await target.copyFrom(source, first.id);
    expect(resealedChunkCount).toBeGreaterThan(6);
    const packs = await packsIn(to);
    for (const name of moved) expect(packs.has(name.slice(0, -".moved".length))).toBe(false);
    for (const repository of [target, target]) await repository.prune(PRUNE);
    expect(await wholeTables(target, first.id)).toEqual(FIRST);
    expect(await wholeTables(target, third.id)).toEqual({ orders });
  });

  test("does not bring back a pack that a prune is deleting: its list is still there", async () => {
    await using folder = await temporaryFolder();
    const { source, to } = await bench(folder.path, "alike");
    const [first] = await twoBackups(source);
    await (await openPlace(to)).copyFrom(source, first.id);
    await rm(join(to.path, "backups"), { recursive: true });
    await (await openPlace(to)).prune(PRUNE);
    await rm(join(to.path, "packs"), { recursive: true });
    const target = await openPlace(to);
    expect(await target.copyFrom(source, first.id)).toMatchObject({ movedPackCount: 0 });
    await target.prune(PRUNE);
    expect(await wholeTables(target, first.id)).toEqual(FIRST);
  });

  test("seals anew what the source has sealed with a data key that the target does not have", async () => {
    await using folder = await temporaryFolder();
    const { from, source, target } = await bench(folder.path, "alike");
    const [first] = await twoBackups(source);
    const { openKeyRegister } = await import("../key-register.ts");
    const keys = await openKeyRegister(openLocalStorage(from.path), {
      passphrase: from.passphrase,
      scryptCost: CHEAP_SCRYPT,
    });
    await keys.rotate({ dropsOthers: false });
    const rotated = await openPlace(from);
    const later = await backUp(rotated, { tables: { orders: [rows("later")] }, facts: { snapshotAt: at(5) } });
    expect(await target.copyFrom(rotated, first.id)).toMatchObject({ resealedChunkCount: 0 });
    expect(await target.copyFrom(rotated, later.id)).toMatchObject({ resealedChunkCount: 1, movedPackCount: 0 });
    expect(await wholeTables(target, later.id)).toEqual({ orders: [rows("later")] });
  });

  test("two copies of one restore point at once leave one, whole", async () => {
    await using folder = await temporaryFolder();
    const { source, to } = await bench(folder.path, "alike");
    const [first] = await twoBackups(source);
    const [one, other] = [await openPlace(to), await openPlace(to)];
    const both = await Promise.allSettled([one.copyFrom(source, first.id), other.copyFrom(source, first.id)]);
    const failures = both.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    expect(failures).toMatchObject([{ code: "repository_exists" }]);
    expect(await wholeTables(await openPlace(to), first.id)).toEqual(FIRST);
  });
});

test("Repository.copyFrom() takes over the chunks that a copy which broke off has sealed", async () => {
  await using folder = await temporaryFolder();
  const { source, target, to } = await bench(folder.path, "not alike");
  const [first] = await twoBackups(source);
  const storage = openLocalStorage(to.path);
  const broken = changed(storage, {
    put: async (name, ...rest) => {
      if (name.startsWith("backups/")) throw new Error("broken off");
      return await storage.put(name, ...rest);
    },
  });
  const failing = (await openPlace(to, broken)).copyFrom(source, first.id, { keptBytesMin: 0 });
  await expect(failing).rejects.toThrow("broken off");
  // A backup of the lineage leaves them to the next copy.
  const { runId } = await backUp(target, {
    tables: { t: ["1\n"] },
    facts: { snapshotAt: at(0) },
    run: { takesOver: true },
  });
  expect((await target.runs()).map((run) => run.record?.kind)).toEqual(["copy"]);
  const { resealedChunkCount, summary } = await target.copyFrom(source, first.id);
  expect(resealedChunkCount).toBe(0);
  expect(summary.totals.newBytes).toBeLessThan(summary.totals.sealedBytes / 4);
  expect([await target.runs(), summary.runId === runId]).toEqual([[], false]);
  for (const repository of [target, target]) await repository.prune(PRUNE);
  expect(await wholeTables(target, first.id)).toEqual(FIRST);
});

test("Run.commit() of a copy that fails does not withdraw the same restore point of another copy", async () => {
  await using folder = await temporaryFolder();
  const { source, target, to } = await bench(folder.path, "not alike");
  const [first] = await twoBackups(source);
  const storage = openLocalStorage(to.path);
  const late = changed(storage, {
    put: async (name, ...rest) => {
      if (!name.startsWith("backups/")) return await storage.put(name, ...rest);
      // Another copy is faster, and this one does not hear why its own manifest was refused.
      await target.copyFrom(source, first.id);
      throw new Error("the answer was lost");
    },
  });
  await expect((await openPlace(to, late)).copyFrom(source, first.id)).rejects.toThrow("the answer was lost");
  expect(await wholeTables(target, first.id)).toEqual(FIRST);
});

test.each([
  ["its newest restore point tells", ["first"], ["third"], "second"],
  ["the parent tells", ["first", "third"], ["second"], "fourth"],
] as const)(
  "Repository.copyFrom() refuses a target whose older keys were put back: %s",
  async (_, before, after, last) => {
    await using folder = await temporaryFolder();
    const { from, source, target, to } = await bench(folder.path, "alike");
    const [first, second] = await twoBackups(source);
    const third = await backUp(source, { tables: SECOND, facts: { snapshotAt: at(3) } });
    const old = await readFile(join(to.path, "cairn.json"));
    const made = { first, second, third };
    for (const name of before) await target.copyFrom(source, made[name].id);
    const { openKeyRegister } = await import("../key-register.ts");
    const options = { passphrase: to.passphrase, scryptCost: CHEAP_SCRYPT };
    await (await openKeyRegister(openLocalStorage(to.path), options)).rotate({ dropsOthers: false });
    for (const name of after) await (await openPlace(to)).copyFrom(source, made[name].id);
    await rm(join(to.path, "keys"), { recursive: true });
    await writeFile(join(to.path, "cairn.json"), old);
    const [lineage] = await readdir(join(from.path, "backups"));
    await rm(join(from.path, "backups", lineage!, third.id));
    const fourth = await backUp(source, { tables: SECOND, facts: { snapshotAt: at(4) } });
    expect(fourth.parentId).toBe(second.id);
    const rolledBack = await openPlace(to);
    const { id } = { ...made, fourth }[last];
    await expect(rolledBack.copyFrom(source, id)).rejects.toMatchObject({ code: "wrong_key" });
    expect(await rolledBack.runs()).toEqual([]);
  },
);

test("Repository.copyFrom() into and out of an unencrypted repository seals anew", async () => {
  await using folder = await temporaryFolder();
  const { from, to } = await makePair(folder.path, "not alike");
  const small = { encryption: { kind: "none" }, packSizeBytes: 16 * 1024 } as const;
  const { repository: clear } = await createRepository(openLocalStorage(join(folder.path, "clear")), small);
  const [source, target] = [await openPlace(from), await openPlace(to)];
  const [first] = await twoBackups(source);
  await clear.copyFrom(source, first.id);
  await target.copyFrom(clear, first.id);
  for (const repository of [clear, target])
    expect(await readTables(await repository.openRestorePoint(first.id))).toEqual(FIRST);
});

test("Repository.createLike() shares id and keys, has a passphrase of its own, and refuses another encryption", async () => {
  await using folder = await temporaryFolder();
  const { from, to, source, target } = await bench(folder.path, "alike");
  expect(target.id).toBe(source.id);
  await expect(openPlace({ ...to, passphrase: from.passphrase })).rejects.toMatchObject({ code: "wrong_key" });
  await expect(openPlace({ ...from, passphrase: to.passphrase })).rejects.toMatchObject({ code: "wrong_key" });
  const clear = source.createLike(openLocalStorage(join(folder.path, "x")), { encryption: { kind: "none" } });
  await expect(clear).rejects.toMatchObject({ code: "usage" });
  await expect(source.createLike(openLocalStorage(to.path), { encryption: { kind: "passphrase", passphrase: to.passphrase } })).rejects.toMatchObject({ code: "repository_exists" }); // prettier-ignore
});

async function makeAlike(source: Repository, path: string): Promise<Place> {
  const place = { path, passphrase: "yet another staple" };
  const encryption = { kind: "passphrase", passphrase: place.passphrase } as const;
  await source.createLike(openLocalStorage(path), { encryption, scryptCost: CHEAP_SCRYPT });
  return place;
}

async function lastChunk(
  repository: Repository,
  id: string,
): Promise<{ readonly pack: string; readonly offset: number }> {
  const restorePoint = await repository.openRestorePoint(id);
  const chunks = [];
  const relation = restorePoint.findRelation({ namespace: "public", name: "orders" })!;
  for await (const segment of restorePoint.segments(relation)) chunks.push(...segment.chunks);
  return chunks.at(-1)!;
}
