// Copies of restore points with deltas: byte for byte with what they lean on, or as full chunks.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, afterEach, describe, expect, test } from "vitest";
import { openLocalStorage } from "../../storage/index.ts";
import { encodeConfiguration } from "../configuration.ts";
import { unlockRepository } from "../create.ts";
import { packObjectName } from "../identifiers.ts";
import type { ChunkReference, Repository } from "../index.ts";
import { rows } from "../prune/prune.fixture.ts";
import { backUp, NO_RULES, temporaryFolder } from "../repository.fixture.ts";
import type { TableTexts } from "../repository.fixture.ts";
import { makePair, MODES, openPlace, wholeTables } from "./copy.fixture.ts";
import type { Mode, Place } from "./copy.fixture.ts";

const FIRST: TableTexts = { orders: Array.from({ length: 12 }, (_, index) => rows(`a${index}`)), items: ["9\tz\n"] };
/** Each segment but the last two with a row more. */
const SECOND: TableTexts = {
  ...FIRST,
  orders: FIRST["orders"]!.map((text, index) => (index < 10 ? `${text}one more\n` : text)),
};
/** One chunk of the first pack is leaned on, and nothing else of the first restore point is needed. */
const LITTLE: TableTexts = { orders: [SECOND["orders"]![0]!, ...Array.from({ length: 5 }, (_, index) => rows(`b${index}`))] }; // prettier-ignore

const PRUNE = { graceMs: 0, unusedFractionMax: 0, isDryRun: false, isWaiting: false };

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeEach(async () => void (folder = await temporaryFolder()));
afterEach(async () => await folder[Symbol.asyncDispose]());

interface Bench {
  readonly from: Place;
  readonly to: Place;
  readonly source: Repository;
  readonly target: Repository;
  /** Restore points of FIRST and of what came after it. */
  readonly ids: readonly [string, string];
}

async function bench(mode: Mode, after: TableTexts): Promise<Bench> {
  const { from, to } = await makePair(folder.path, mode);
  const source = await openPlace(from);
  const first = await backUp(source, { tables: FIRST, facts: { snapshotAt: "2026-11-22T10:01:00.000Z" } });
  const facts = { snapshotAt: "2026-11-22T10:02:00.000Z" };
  const second = await backUp(source, { tables: after, makesDeltas: true, facts });
  return { from, to, source, target: await openPlace(to), ids: [first.id, second.id] };
}

async function chunksOf(repository: Repository, id: string): Promise<ChunkReference[]> {
  const restorePoint = await repository.openRestorePoint(id);
  const chunks: ChunkReference[] = [];
  for (const relation of restorePoint.manifest.relations) {
    for await (const segment of restorePoint.segments(relation)) chunks.push(...segment.chunks);
  }
  return chunks;
}

/** By the manifest. */
async function deltasOf(repository: Repository, id: string): Promise<number> {
  const { relations } = (await repository.openRestorePoint(id)).manifest;
  return relations.reduce((sum, { deltaChunkCount = 0 }) => sum + deltaChunkCount, 0);
}

const deltaCount = (chunks: readonly ChunkReference[]): number => chunks.filter(({ base }) => base !== null).length;

describe.each(MODES)("Repository.copyFrom() of deltas, repositories %s,", (mode) => {
  test("one after another: byte for byte where made alike, else sealed anew as deltas of the same", async () => {
    const { ids, source, target } = await bench(mode, SECOND);
    expect(deltaCount(await chunksOf(source, ids[1]))).toBe(10);
    await target.copyFrom(source, ids[0]);
    const { resealedChunkCount } = await target.copyFrom(source, ids[1]);
    expect(resealedChunkCount).toBe(mode === "alike" ? 0 : 10);
    const copied = await chunksOf(target, ids[1]);
    expect(deltaCount(copied)).toBe(10);
    expect([await deltasOf(source, ids[1]), await deltasOf(target, ids[1])]).toEqual([10, 10]);
    const bases = (await chunksOf(target, ids[0])).map(({ pack, itemNumber }) => `${pack}#${itemNumber}`);
    for (const { base } of copied) if (base !== null) expect(bases).toContain(`${base.pack}#${base.itemNumber}`);
    expect(copied.map(({ encoding }) => encoding)).not.toContain("none");
    expect(await wholeTables(target, ids[1])).toEqual(SECOND);
    expect((await target.check({ readFraction: 1 })).findings).toEqual([]);
  });

  test("one after another, when what they lean on is in no list of the target any more", async () => {
    const { ids, source, target } = await bench(mode, SECOND);
    for (const id of ids) await target.copyFrom(source, id);
    const third = { ...SECOND, orders: SECOND["orders"]!.map((text, index) => (index < 5 ? `and\n${text}` : text)) };
    const facts = { snapshotAt: "2026-11-22T10:03:00.000Z" };
    const { id } = await backUp(source, { tables: third, makesDeltas: true, facts });
    for (const repository of [source, target]) {
      await repository.expire({ rules: { ...NO_RULES, last: 1 }, isDryRun: false });
      for (let count = 0; count < 2; count += 1) await repository.prune(PRUNE);
    }
    await target.copyFrom(source, id);
    expect(deltaCount(await chunksOf(target, id))).toBe(10);
    expect(await wholeTables(target, id)).toEqual(third);
    expect((await target.check({ readFraction: 1 })).findings).toEqual([]);
  });

  test("never as a delta of another chunk of the same segment and length", async () => {
    const other = { ...FIRST, orders: [rows("another"), ...FIRST["orders"]!.slice(1)] };
    const { ids, source, target } = await bench(mode, other);
    const tables = { ...other, orders: [`${other.orders[0]!}one more\n`, ...other.orders.slice(1)] };
    const facts = { snapshotAt: "2026-11-22T10:03:00.000Z" };
    const { id } = await backUp(source, { tables, makesDeltas: true, facts });
    const [delta] = await chunksOf(source, id);
    expect(delta!.base!.rawLengthBytes).toBe(FIRST["orders"]![0]!.length);
    // The one between, which has what it leans on, is not copied.
    await target.copyFrom(source, ids[0]);
    await target.copyFrom(source, id);
    expect(await wholeTables(target, id)).toEqual(tables);
  });

  test("alone: the pack of what they lean on goes too", async () => {
    const { ids, source, target } = await bench(mode, SECOND);
    await target.copyFrom(source, ids[1]);
    expect(deltaCount(await chunksOf(target, ids[1]))).toBe(mode === "alike" ? 10 : 0);
    expect(await wholeTables(target, ids[1])).toEqual(SECOND);
  });

  test("as a full chunk where most of the pack of what it leans on is not needed", async () => {
    const { ids, source, target } = await bench(mode, LITTLE);
    expect(deltaCount(await chunksOf(source, ids[1]))).toBe(1);
    await target.copyFrom(source, ids[1]);
    expect(deltaCount(await chunksOf(target, ids[1]))).toBe(0);
    expect(await wholeTables(target, ids[1])).toEqual(LITTLE);
    expect((await target.check({ readFraction: 1 })).findings).toEqual([]);
  });

  test("not at all when what one leans on is damaged", async () => {
    const { from, ids, source, target } = await bench(mode, LITTLE);
    const [chunk] = await chunksOf(source, ids[1]);
    const path = join(from.path, packObjectName(chunk!.base!.pack));
    const bytes = await readFile(path);
    bytes[chunk!.base!.offset + 5]! ^= 1;
    await writeFile(path, bytes);
    await expect(target.copyFrom(source, ids[1])).rejects.toMatchObject({ code: "corrupt" });
    expect(await target.restorePoints()).toEqual([]);
  });
});

test("Repository.copyFrom() brings no delta to a target that does not require its readers to know them", async () => {
  const { ids, source, to } = await bench("alike", SECOND);
  const storage = openLocalStorage(to.path);
  const { configuration, keyring } = await unlockRepository(storage, { passphrase: to.passphrase });
  const { features: _, ...without } = configuration;
  await writeFile(join(to.path, "cairn.json"), encodeConfiguration(without, keyring.current));
  const target = await openPlace(to);
  for (const id of ids) expect((await target.copyFrom(source, id)).movedPackCount).toBe(0);
  expect(deltaCount(await chunksOf(target, ids[1]))).toBe(0);
  expect(await wholeTables(target, ids[1])).toEqual(SECOND);
});
