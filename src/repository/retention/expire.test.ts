// Expire, hold and release on real repositories: manifests only, never the last good one, holds that come late.

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openLocalStorage } from "../../storage/index.ts";
import type { Storage } from "../../storage/index.ts";
import { unlockRepository } from "../create.ts";
import { systemRandom } from "../environment.ts";
import { packObjectName } from "../identifiers.ts";
import { openRepository } from "../index.ts";
import type { ExpireDecision, Repository } from "../index.ts";
import {
  backUp,
  changed,
  FACTS,
  NO_RULES,
  PASSPHRASE,
  smallRepository,
  temporaryFolder,
} from "../repository.fixture.ts";
import { contentsBytes, sealObject, TRAILER_BYTES } from "../sealed-object.ts";
import type { RetentionRules } from "./policy.ts";

const LAST_ONE: RetentionRules = { ...NO_RULES, last: 1 };
const FOR_REAL = { isDryRun: false } as const;

async function days(repository: Repository, count: number, name: string = FACTS.lineage.name): Promise<string[]> {
  const ids: string[] = [];
  for (let day = 0; day < count; day += 1) {
    const snapshotAt = new Date(Date.UTC(2026, 10, 1 + day, 12)).toISOString();
    const facts = { snapshotAt, lineage: { ...FACTS.lineage, name }, tags: { day: String(day) } };
    ids.push((await backUp(repository, { tables: { orders: [`${day}\ta\n`] }, facts })).id);
  }
  return ids;
}

const idsOf = async (repository: Repository): Promise<string[]> => {
  return (await repository.restorePoints({ onDamage: () => undefined })).map(({ id }) => id);
};

/** A storage that notes what is read and deleted. */
function watched(storage: Storage, log: string[]): Storage {
  return changed(storage, {
    read: async (name, ...rest) => {
      log.push(name);
      return await storage.read(name, ...rest);
    },
    delete: async (name, ...rest) => {
      log.push(`delete ${name}`);
      await storage.delete(name, ...rest);
    },
  });
}

test("Repository.expire() removes manifests, lineage by lineage, and opens no pack", async () => {
  await using folder = await temporaryFolder();
  const log: string[] = [];
  const storage = watched(openLocalStorage(folder.path), log);
  const { repository } = await smallRepository(storage);
  const shop = await days(repository, 4);
  const other = await days(repository, 3, "other");
  const packs = await readdir(join(folder.path, "packs"), { recursive: true });
  const dry = await repository.expire({ ...FOR_REAL, rules: LAST_ONE, isDryRun: true });
  expect(dry.filter(({ isKept }) => isKept).map(({ id }) => id).toSorted()).toEqual([shop[3]!, other[2]!].toSorted()); // prettier-ignore
  expect(await idsOf(repository)).toHaveLength(7);
  log.length = 0;
  const opened = await openRepository(storage, { passphrase: PASSPHRASE });
  const decisions = await opened.expire({ ...FOR_REAL, rules: LAST_ONE });
  expect(decisions.map(({ isKept, reasons }) => [isKept, reasons.length > 0])).toEqual(dry.map(({ isKept }) => [isKept, true])); // prettier-ignore
  expect((await idsOf(repository)).toSorted()).toEqual([shop[3]!, other[2]!].toSorted());
  expect(log.filter((line) => line.includes("packs/"))).toEqual([]);
  expect(log.filter((line) => line.startsWith("delete backups/"))).toHaveLength(5);
  expect(await readdir(join(folder.path, "packs"), { recursive: true })).toEqual(packs);
  expect(await repository.runs()).toEqual([]);
});

test("Repository.expire() keeps the last good, verified and drilled ones, held ones, and what cannot be read", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  const ids = await days(repository, 8);
  const [, verified, drilled, held, good, damaged, unreadable, newest] = ids as [string, ...string[]];
  await repository.verifyRestorePoint(await repository.openRestorePoint(verified!));
  const drill = { restorePointId: drilled!, outcome: "passed", serverVersion: "18.6", restoreDurationMs: 1 } as const;
  await repository.markDrilled({ ...drill, differenceCount: 0, differences: [], notCompared: [] });
  await repository.hold(held!, "audit");
  for (const id of [damaged!, newest!]) {
    const restorePoint = await repository.openRestorePoint(id);
    const [pack] = restorePoint.manifest.packs.at(-1)!;
    await writeFile(join(folder.path, packObjectName(pack)), "broken");
    await repository.verifyRestorePoint(restorePoint);
  }
  const manifests = (await readdir(join(folder.path, "backups"), { recursive: true })).filter((name) => name.includes("Z-")); // prettier-ignore
  await writeFile(
    join(
      folder.path,
      "backups",
      manifests.find((name) => name.includes(unreadable!))!,
    ),
    "broken",
  );
  const decisions = await repository.expire({ ...FOR_REAL, rules: LAST_ONE });
  const kept = new Map(decisions.filter(({ isKept }) => isKept).map(({ id, reasons }) => [id, reasons.join("; ")]));
  expect(Object.fromEntries(kept)).toEqual({
    [newest!]: "one of the last 1",
    [unreadable!]: "its manifest cannot be read, so nothing is known of it",
    [good!]: "one of the last 1; the last good one of its lineage",
    [held!]: "held: audit",
    [drilled!]: "the last drilled one of its lineage",
    [verified!]: "the last verified one of its lineage",
  });
  expect(await repository.release(held!)).toBe(1);
  const second = await repository.expire({ ...FOR_REAL, rules: LAST_ONE });
  expect(second.filter(({ isKept }) => !isKept).map(({ id }) => id)).toEqual([held]);
});

test.each(["check", "verify"])(
  "Repository.expire() keeps the one before a manifest that a %s found damaged",
  async (how) => {
    await using folder = await temporaryFolder();
    const { repository } = await smallRepository(openLocalStorage(folder.path));
    const ids = await days(repository, 3);
    const [, good, newest] = ids as [string, string, string];
    const [lineageKey] = await readdir(join(folder.path, "backups"));
    const path = join(folder.path, "backups", lineageKey!, newest);
    const whole = await readFile(path);
    const broken = Buffer.from(whole);
    // The last byte of the table of contents; behind it stand the contents of 3 items and the trailer.
    broken[broken.length - contentsBytes(3) - TRAILER_BYTES - 1]! ^= 1;
    await writeFile(path, broken);
    if (how === "check")
      expect((await repository.check({ readFraction: 0 })).findings).toMatchObject([{ restorePointId: newest }]); // prettier-ignore
    else await expect(repository.openToJudge(newest)).rejects.toMatchObject({ code: "corrupt" });
    expect(await repository.verifies(newest)).toMatchObject([{ isWhole: false, damage: [] }]);
    const decisions = await repository.expire({ ...FOR_REAL, rules: LAST_ONE });
    expect(decisions.filter(({ isKept }) => isKept).map(({ id, reasons }) => [id, reasons.join("; ")])).toEqual([
      [newest, "one of the last 1"],
      [good, "one of the last 1; the last good one of its lineage"],
    ]);
    await writeFile(path, whole);
    await repository.verifyRestorePoint(await repository.openToJudge(newest));
    const second = await repository.expire({ ...FOR_REAL, rules: LAST_ONE });
    expect(second.map(({ id, isKept }) => [id, isKept])).toEqual([[newest, true], [good, false]]); // prettier-ignore
  },
);

test("Repository.expire() goes by the order of marks, whatever the clocks of their writers said", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const { repository } = await smallRepository(storage);
  const [, good, newest] = (await days(repository, 3)) as [string, string, string];
  const clockAt = (timeMs: number) => ({ now: () => new Date(timeMs), monotonicMs: () => 0 });
  const at = Date.UTC(2026, 10, 22, 10, 30);
  const ahead = await openRepository(storage, { passphrase: PASSPHRASE, clock: clockAt(at + 3_600_000) });
  await ahead.verifyRestorePoint(await ahead.openRestorePoint(newest));
  const drill = { serverVersion: "18.6", restoreDurationMs: 1, differenceCount: 0, differences: [], notCompared: [] };
  await ahead.markDrilled({ ...drill, restorePointId: good, outcome: "passed" });
  const right = await openRepository(storage, { passphrase: PASSPHRASE, clock: clockAt(at) });
  const restorePoint = await right.openRestorePoint(newest);
  await writeFile(join(folder.path, packObjectName(restorePoint.manifest.packs.at(-1)![0])), "broken");
  await right.check({ readFraction: 0 });
  await right.markDrilled({ ...drill, restorePointId: good, outcome: "failed" });
  expect((await right.verifies(newest)).map(({ isWhole }) => isWhole)).toEqual([true, false]);
  expect((await right.drills(good)).map(({ outcome }) => outcome)).toEqual(["passed", "failed"]);
  const marks = (await readdir(join(folder.path, "marks"), { recursive: true })).filter((name) =>
    name.includes("-2026"),
  );
  expect(marks.map((name) => name.slice(name.indexOf("/") + 1).replace(/-[^-]*$/, "")).toSorted()).toEqual([
    "damage-20261122T113001Z",
    "drill-20261122T113000Z",
    "drill-failed-20261122T113001Z",
    "verify-20261122T113000Z",
  ]);
  const decisions = await right.expire({ ...FOR_REAL, rules: LAST_ONE, isDryRun: true });
  const reasons = new Map(decisions.map((decision) => [decision.id, decision.reasons.join("; ")]));
  expect(reasons.get(newest)).toBe("one of the last 1");
  expect(reasons.get(good)).not.toContain("the last good one");
});

test("Repository.expire() goes on past what it cannot remove, and sees a hold that comes while it is at work", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const { repository } = await smallRepository(storage);
  const [first, second, third] = (await days(repository, 4)) as [string, string, string];
  const failing = changed(storage, {
    delete: async (name, signal) => {
      if (name.endsWith(third)) {
        // Comes after the decisions were made; it waits for the expire to end.
        void opened.hold(first, "late").catch(() => undefined);
        await expect.poll(async () => (await readdir(join(folder.path, "marks"))).length).toBe(1);
        throw new Error("not now");
      }
      await storage.delete(name, signal);
    },
  });
  const opened = await openRepository(failing, { passphrase: PASSPHRASE });
  const decisions = await opened.expire({ ...FOR_REAL, rules: LAST_ONE });
  expect(decisions.map(({ failure, isKept, reasons }) => [isKept, failure, reasons[0]]).slice(1)).toEqual([
    [false, "not now", "not one of the last 1"],
    [false, null, "not one of the last 1"],
    [true, null, "held meanwhile"],
  ]);
  expect(await idsOf(repository)).not.toContain(second);
  expect(await idsOf(repository)).toHaveLength(3);
});

test("Repository.expire() keeps a restore point whose run is at work, and the one before it", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const { repository } = await smallRepository(storage);
  const [, last] = (await days(repository, 2)) as [string, string];
  let decisions: readonly ExpireDecision[] = [];
  const failing = changed(storage, {
    read: async (name, ...rest) => {
      // The manifest is there, and is about to be read back.
      const isReadBack = name.startsWith("backups/") && (await idsOf(repository)).length === 3;
      if (!isReadBack) return await storage.read(name, ...rest);
      decisions = await repository.expire({ ...FOR_REAL, rules: LAST_ONE });
      throw new Error("connection reset");
    },
  });
  await expect(days(await openRepository(failing, { passphrase: PASSPHRASE }), 1)).rejects.toThrow("connection reset");
  expect(decisions.map(({ isKept, reasons }) => [isKept, reasons.join("; ")])).toEqual([
    [true, "its backup has not ended yet"],
    [true, "one of the last 1; the last good one of its lineage"],
    [false, "not one of the last 1"],
  ]);
  expect(await idsOf(repository)).toEqual([last]);
});

test("Repository.expire() that slept while it looked for holds removes nothing more", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const { repository } = await smallRepository(storage);
  const ids = await days(repository, 3);
  let nowMs = Date.UTC(2026, 10, 22);
  const sleeping = changed(storage, {
    list: (prefix, signal) => {
      if (prefix === `marks/${ids[1]!}/`) nowMs += 25 * 60_000;
      return storage.list(prefix, signal);
    },
  });
  const clock = { now: () => new Date(nowMs), monotonicMs: () => 0 };
  const opened = await openRepository(sleeping, { passphrase: PASSPHRASE, clock });
  await expect(opened.expire({ ...FOR_REAL, rules: LAST_ONE })).rejects.toMatchObject({ code: "stalled" });
  expect((await idsOf(repository)).toSorted()).toEqual(ids);
});

test("Repository.expire() removes cluster restore points before what they name; when one stays, that stays", async () => {
  await using folder = await temporaryFolder();
  const log: string[] = [];
  const storage = openLocalStorage(folder.path);
  const { repository } = await smallRepository(storage);
  const members = await days(repository, 3);
  const clusters: string[] = [];
  for (const [day, restorePointId] of members.entries()) {
    const sums = { rowCount: 0, rawBytes: 0, sealedBytes: 0, newBytes: 0 };
    const member = { databaseName: "shop", lineageName: "shop", restorePointId, error: null, ...sums };
    const lineage = { ...FACTS.lineage, name: "all" } as unknown as typeof FACTS.lineage;
    const snapshotAt = new Date(Date.UTC(2026, 10, 1 + day, 13)).toISOString();
    const facts = { lineage, snapshotAt, cluster: { members: [member], leftOut: [] } };
    clusters.push((await backUp(repository, { tables: {}, facts })).id);
  }
  const failing = changed(watched(storage, log), {
    delete: async (name, signal) => {
      if (name.endsWith(clusters[1]!)) throw new Error("not now");
      log.push(`delete ${name}`);
      await storage.delete(name, signal);
    },
  });
  const opened = await openRepository(failing, { passphrase: PASSPHRASE });
  const decisions = await opened.expire({ ...FOR_REAL, rules: LAST_ONE });
  const removed = log.filter((line) => line.startsWith("delete backups/")).map((line) => line.split("/").at(-1));
  expect(removed).toEqual([clusters[0], members[0]]);
  const reasons = new Map(decisions.map((one) => [one.id, one.failure ?? one.reasons[0]]));
  expect(reasons.get(clusters[1]!)).toBe("not now");
  expect(reasons.get(members[1]!)).toBe(`the cluster restore point ${clusters[1]!}, which stays, names it`);
});

test("Repository.hold() fails when the restore point was expired meanwhile", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const { repository } = await smallRepository(storage);
  const [id] = (await days(repository, 1)) as [string];
  const vanishing = changed(storage, {
    put: async (name, bytes, options) => {
      const [lineageKey] = await readdir(join(folder.path, "backups"));
      await storage.delete(`backups/${lineageKey!}/${id}`);
      return await storage.put(name, bytes, options);
    },
  });
  const opened = await openRepository(vanishing, { passphrase: PASSPHRASE });
  await expect(opened.hold(id, "")).rejects.toMatchObject({ code: "restore_point_not_found" });
  expect(await readdir(join(folder.path, "marks", id))).toEqual([]);
});

test("Repository.hold() is not kept off by an expire that died long ago on another machine", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const { repository } = await smallRepository(storage);
  const [id] = (await days(repository, 1)) as [string];
  const { keyring } = await unlockRepository(storage, { passphrase: PASSPHRASE });
  const runId = "20200101T120000Z-00000000";
  const host = { host: "000000000000", boot: "0", processId: 1, startTicks: "0" };
  const startedAt = "2020-01-01T12:00:00.000Z";
  const record = { runId, kind: "expire", lineageName: null, startedAt, hostName: "elsewhere", process: host };
  const name = `runs/${runId}/00000003`;
  const item = { kind: "run", encoding: "none", bytes: Buffer.from(JSON.stringify(record)) } as const;
  await storage.put(name, await sealObject({ keyring, random: systemRandom }, name, [item]));
  expect(await repository.hold(id, "")).toMatchObject({ restorePointId: id });
});

test("Repository.expire() with tags or a lineage leaves all others alone", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  const shop = await days(repository, 4);
  const other = await days(repository, 3, "other");
  const onlyTags = [{ key: "day", value: "0" }];
  const tagged = await repository.expire({ ...FOR_REAL, rules: { ...LAST_ONE, onlyTags } });
  expect(tagged.filter(({ isKept }) => !isKept)).toEqual([]);
  const { key } = (await repository.lineages()).find(({ name }) => name === "other")!;
  const decided = await repository.expire({ ...FOR_REAL, rules: { ...LAST_ONE, onlyLineages: new Set([key]) } });
  expect(decided.map(({ lineageKey }) => lineageKey)).toEqual([key, key, key]);
  expect((await idsOf(repository)).toSorted()).toEqual([...shop, other[2]!].toSorted());
});
