// What every storage must do, whoever made it: a driver's test file calls describeStorage() with a real server behind it.
//
//   describeStorage("s3 on moto", { open: (place) => openStorage(uriOf(server, place), surroundings), manyNames: 2500 });
//
// Each test gets a place of its own; `open` is called once or more with the same place, for a second user of it.

import { createHash, randomBytes } from "node:crypto";
import { describe, expect, test, vi } from "vitest";
import { refuseUnconditionalStorage } from "../../src/storage/index.ts";
import type { ObjectWriter, Storage, StoredObject } from "../../src/storage/index.ts";
import { MIB } from "../../src/base/units.ts";

const RACERS = 8;
const WRITES_AT_ONCE = 64;

export interface StorageUnderTest {
  open(place: string): Promise<Storage>;
  /** Makes an object that holds its own name, faster than put() does with its looking back; left out: put(). */
  fill?(place: string, name: string): Promise<void>;
  /** How many names the listing test makes: thousands in `npm test`, 100,000 in the slow suite. */
  readonly manyNames: number;
  /** Longer than the storage's pages, so that paging is tested. */
  readonly pageNames: number;
  /** False for moto, which looks at the condition of an upload in parts, but not in one step with its end. */
  readonly hasAtomicUploads: boolean;
  /** True where the storage itself forgets uploads that were never finished, and lists none of them. */
  readonly hidesUploads?: boolean;
  readonly timeoutMs?: number;
}

/** A storage at a place of its own. */
type At = (place?: string) => Promise<Storage>;

export const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

/** What write() was given and finish() is told to expect. */
export function expectedOf(bytes: Uint8Array): { readonly sizeBytes: number; readonly sha256: Buffer } {
  return { sizeBytes: bytes.length, sha256: sha256(bytes) };
}

/** Streams bytes in pieces of the given size. */
export async function stream(writer: ObjectWriter, bytes: Uint8Array, pieceBytes: number): Promise<StoredObject> {
  for (let offset = 0; offset < bytes.length; offset += pieceBytes) {
    await writer.write(Uint8Array.from(bytes.subarray(offset, offset + pieceBytes)));
  }
  return await writer.finish(expectedOf(bytes));
}

/** Everything that a storage lists. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export async function namesIn(storage: Storage, prefix = ""): Promise<string[]> {
  return (await collect(storage.list(prefix))).map(({ name }) => name);
}

const HOSTILE_NAMES = [
  "",
  "/x",
  "../x",
  "x/../y",
  "x//y",
  ".x",
  "x/.y",
  "x/",
  "a b",
  "é",
  "x\0",
  "x?y",
  "x#y",
  "%2e%2e/x",
];

function describeReading(at: At): void {
  test("writes, reads, looks, lists in name order, deletes", async () => {
    await using storage = await at();
    expect(await namesIn(storage)).toEqual([]);
    for (const name of ["x/1", "x-y", "x/10", "x/2/z", "y", "x/2-"]) {
      expect(await storage.put(name, Buffer.from(`of ${name}`))).toEqual({ name, sizeBytes: 3 + name.length });
    }
    expect(Buffer.from(await storage.read("x/1")).toString()).toBe("of x/1");
    expect(await storage.head("x/1")).toEqual({ name: "x/1", sizeBytes: 6 });
    expect(await collect(storage.list(""))).toMatchObject(
      ["x-y", "x/1", "x/10", "x/2-", "x/2/z", "y"].map((name) => ({ name, sizeBytes: 3 + name.length })),
    );
    expect(await namesIn(storage, "x/1")).toEqual(["x/1", "x/10"]);
    expect(await namesIn(storage, "x/2/")).toEqual(["x/2/z"]);
    expect(await namesIn(storage, "none/")).toEqual([]);
    await storage.delete("x/1");
    expect(await storage.head("x/1")).toBe(null);
    expect(await namesIn(storage, "x/1")).toEqual(["x/10"]);
    expect(await storage.freeSpaceBytes()).toSatisfy((bytes) => bytes === null || (bytes as number) > 0);
  });

  test("what is not there: head is null, read is not_found, delete is done", async () => {
    await using storage = await at();
    expect(await storage.head("x/none")).toBe(null);
    await expect(storage.read("x/none")).rejects.toMatchObject({ code: "not_found" });
    await expect(storage.read("x/none", { offset: 0, lengthBytes: 1 })).rejects.toMatchObject({ code: "not_found" });
    await expect(storage.read("x/none", { offset: 0, lengthBytes: 0 })).rejects.toMatchObject({ code: "not_found" });
    await storage.delete("x/none");
  });

  test("reads ranges exactly, or says corrupt", async () => {
    await using storage = await at();
    const bytes = randomBytes(100_000);
    await storage.put("x", bytes);
    for (const [offset, end] of [
      [0, 1],
      [0, 100_000],
      [99_999, 100_000],
      [12_345, 67_890],
      [500, 500],
    ] as const) {
      const found = await storage.read("x", { offset, lengthBytes: end - offset });
      expect(Buffer.compare(found, bytes.subarray(offset, end)), `${offset} to ${end}`).toBe(0);
    }
    for (const [offset, lengthBytes] of [
      [99_999, 2],
      [100_000, 1],
      [0, 100_001],
      [2 ** 40, 5],
      [-1, 5],
      [0, 2 ** 40],
      [0.5, 1],
    ] as const) {
      await expect(storage.read("x", { offset, lengthBytes })).rejects.toMatchObject({
        code: "corrupt",
      });
    }
    await storage.put("empty", Buffer.alloc(0));
    expect(await storage.read("empty")).toHaveLength(0);
  });
}

function describeWriting(at: At): void {
  test.each([0, 1, 5 * MIB, 8 * MIB, 8 * MIB + 1, 21 * MIB + 7])("streams %d bytes of unknown length", async (size) => {
    await using storage = await at();
    const bytes = randomBytes(size);
    const writer = await storage.openWriter("a/b", { ifAbsent: true });
    expect(await stream(writer, bytes, 1_234_567)).toEqual({ name: "a/b", sizeBytes: size });
    expect(sha256(await storage.read("a/b")).equals(sha256(bytes))).toBe(true);
    expect(await storage.head("a/b")).toEqual({ name: "a/b", sizeBytes: size });
  });

  test("keeps the order of writes that are not waited for", async () => {
    await using storage = await at();
    const pieces = Array.from({ length: 3000 }, (_, index) => Buffer.alloc((index * 7919) % 6000, index));
    const writer = await storage.openWriter("x");
    await Promise.all(pieces.map(async (piece) => await writer.write(piece)));
    await writer.finish(expectedOf(Buffer.concat(pieces)));
    expect(sha256(await storage.read("x")).equals(sha256(Buffer.concat(pieces)))).toBe(true);
  });

  test("shows nothing before it is finished, and nothing after abort(), not even a left-over", async () => {
    await using storage = await at();
    for (const size of [10, 20 * MIB]) {
      const writer = await storage.openWriter("x");
      await writer.write(Buffer.alloc(size, 1));
      expect(await storage.head("x")).toBe(null);
      expect(await namesIn(storage)).toEqual([]);
      await writer.abort();
      await writer.abort();
      await expect(writer.write(Buffer.from("1"))).rejects.toMatchObject({ code: "storage_failed" });
      await expect(writer.finish()).rejects.toMatchObject({ code: "storage_failed" });
      expect(await namesIn(storage)).toEqual([]);
      expect(await collect(storage.leftovers())).toEqual([]);
    }
  });

  test("is corrupt when other bytes came than were expected, and shows nothing", async () => {
    await using storage = await at();
    for (const size of [10, 20 * MIB]) {
      const writer = await storage.openWriter("x");
      await writer.write(Buffer.alloc(size, 1));
      const expected = { sizeBytes: size + 1, sha256: new Uint8Array(32) };
      await expect(writer.finish(expected)).rejects.toMatchObject({ code: "corrupt" });
      expect(await storage.head("x")).toBe(null);
      expect(await collect(storage.leftovers())).toEqual([]);
    }
  });
}

function describeSharing(at: At, under: StorageUnderTest): void {
  test("creates an object only where none is: of eight racers one wins", async () => {
    await using storage = await at();
    await refuseUnconditionalStorage(storage);
    expect(await namesIn(storage)).toEqual([]);
    for (const size of under.hasAtomicUploads ? [100, 9 * MIB] : [100]) {
      const name = `race-${size}`;
      const racers = Array.from({ length: RACERS }, (_, index) => Buffer.alloc(size, index));
      const outcomes = await Promise.allSettled(
        racers.map(async (bytes, index) => {
          const options = { ifAbsent: true };
          if (index % 2 === 0 && size < MIB) return await storage.put(name, bytes, options);
          return await stream(await storage.openWriter(name, options), bytes, 2 * MIB);
        }),
      );
      const winners = outcomes.flatMap(({ status }, index) => (status === "fulfilled" ? [index] : []));
      const losers = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
      expect(winners, `winners of ${name}: ${losers.map(String).join("; ")}`).toHaveLength(1);
      for (const loser of losers) expect(loser).toMatchObject({ code: "repository_exists" });
      expect(sha256(await storage.read(name)).equals(sha256(racers[winners[0]!]!))).toBe(true);
      expect(await collect(storage.leftovers())).toEqual([]);
    }
    await expect(storage.put("race-100", Buffer.from("late"), { ifAbsent: true })).rejects.toMatchObject({
      code: "repository_exists",
    });
    await storage.put("race-100", Buffer.from("replaced"));
    expect(Buffer.from(await storage.read("race-100")).toString()).toBe("replaced");
  });

  test("of eight racers with the same bytes one wins or more, and no loser removes what they wrote", async () => {
    await using storage = await at();
    for (const size of under.hasAtomicUploads ? [100, 100, 9 * MIB] : [100, 100]) {
      const name = `same-${randomBytes(4).toString("hex")}`;
      const bytes = randomBytes(size);
      const outcomes = await Promise.allSettled(
        Array.from({ length: RACERS }, async (_, index) => {
          const options = { ifAbsent: true };
          if (index % 2 === 0 && size < MIB) return await storage.put(name, bytes, options);
          return await stream(await storage.openWriter(name, options), bytes, 2 * MIB);
        }),
      );
      const losers = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
      expect(losers.length, `losers: ${losers.map(String).join("; ")}`).toBeLessThan(RACERS);
      for (const loser of losers) expect(loser).toMatchObject({ code: "repository_exists" });
      expect(await storage.head(name)).toEqual({ name, sizeBytes: size });
      expect(sha256(await storage.read(name)).equals(sha256(bytes))).toBe(true);
      expect(await collect(storage.leftovers())).toEqual([]);
    }
  });

  // Without left-overs there is nothing to name: that none shows is in the tests above.
  if (under.hidesUploads === true) return;
  test("names what is being written as a left-over that is not dead, and removes it by that name", async () => {
    const place = `left-${randomBytes(4).toString("hex")}`;
    await using storage = await at(place);
    await using other = await at(place);
    const writer = await storage.openWriter("a/x");
    await writer.write(Buffer.alloc(20 * MIB));
    // What was taken may still be on its way.
    const found = vi.waitUntil(async () => {
      const all = await collect(other.leftovers());
      return all.length > 0 && all;
    }, 10_000);
    const [leftover, ...more] = await found;
    expect(more).toEqual([]);
    expect(leftover).toMatchObject({ isDead: false });
    expect(await namesIn(other)).toEqual([]);
    await other.deleteLeftover(leftover!.name);
    await other.deleteLeftover(leftover!.name);
    expect(await collect(other.leftovers())).toEqual([]);
    await expect(writer.finish()).rejects.toMatchObject({ code: "storage_failed" });
    expect(await storage.head("a/x")).toBe(null);
  });
}

function describeRefusing(at: At): void {
  test("refuses names that lead elsewhere, in every call", async () => {
    await using storage = await at();
    for (const name of [...HOSTILE_NAMES, "x".repeat(600)]) {
      const calls = [
        storage.put(name, Buffer.from("1")),
        storage.openWriter(name),
        storage.read(name),
        storage.read(name, { offset: 0, lengthBytes: 0 }),
        storage.head(name),
        storage.delete(name),
        storage.deleteLeftover(name),
      ];
      for (const call of calls) await expect(call).rejects.toMatchObject({ code: "usage" });
    }
    for (const name of ["../x?uploadId=1", "x?uploadId=", "x"]) {
      await expect(storage.deleteLeftover(name)).rejects.toMatchObject({ code: "usage" });
    }
  });

  test("ends with the signal's reason, and leaves nothing", async () => {
    await using storage = await at();
    await storage.put("there", Buffer.alloc(1000));
    const { signal } = new AbortController();
    const aborted = AbortSignal.abort(new Error("stop"));
    const writer = await storage.openWriter("x", { signal });
    await writer.abort();
    for (const call of [
      () => storage.put("x", Buffer.from("1"), { signal: aborted }),
      () => storage.read("there", undefined, aborted),
      () => storage.head("there", aborted),
      () => storage.delete("there", aborted),
      () => collect(storage.list("", aborted)),
      () => collect(storage.leftovers(aborted)),
      () => storage.openWriter("x", { signal: aborted }),
    ])
      await expect(call()).rejects.toThrow("stop");
    const controller = new AbortController();
    const halfway = await storage.openWriter("x", { signal: controller.signal });
    await halfway.write(Buffer.alloc(20 * MIB));
    controller.abort(new Error("halt"));
    await expect(halfway.write(Buffer.from("1"))).rejects.toThrow("halt");
    await expect(halfway.finish()).rejects.toThrow("halt");
    await halfway.abort();
    expect(await namesIn(storage)).toEqual(["there"]);
    expect(await collect(storage.leftovers())).toEqual([]);
  });
}

function describeListing(at: At, title: string, under: StorageUnderTest): void {
  test(`lists ${under.manyNames} names in their order, page after page`, { timeout: 45 * 60_000 }, async () => {
    const place = `many-${randomBytes(4).toString("hex")}`;
    await using storage = await at(place);
    const names = Array.from(
      { length: under.manyNames },
      (_, index) => `many/${(index * 7919) % 97}/${index}`,
    ).toSorted();
    expect(names.length).toBeGreaterThan(under.pageNames);
    const left = names.entries();
    const put = async (): Promise<void> => {
      for (const [, name] of left) {
        if (under.fill === undefined) await storage.put(name, Buffer.from(name));
        else await under.fill(place, name);
      }
    };
    await Promise.all(Array.from({ length: WRITES_AT_ONCE }, put));
    const startedAtMs = performance.now();
    expect(await collect(storage.list("many/"))).toMatchObject(names.map((name) => ({ name, sizeBytes: name.length })));
    process.stderr.write(
      `${title}: ${names.length} names listed in ${Math.round(performance.now() - startedAtMs)} ms\n`,
    );
    expect(await namesIn(storage, "many/7")).toEqual(names.filter((name) => name.startsWith("many/7")));
    // Stopped early, it must not go on asking.
    for await (const { name } of storage.list("many/")) if (name === names[10]) break;
  });
}

/** Runs the suite. */
export function describeStorage(title: string, under: StorageUnderTest): void {
  let number = 0;
  const at: At = async (place = `place-${(number += 1)}-${randomBytes(4).toString("hex")}`) => await under.open(place);
  describe(`${title}: the contract`, { timeout: under.timeoutMs ?? 60_000 }, () => {
    describeReading(at);
    describeWriting(at);
    describeSharing(at, under);
    describeRefusing(at);
    describeListing(at, title, under);
  });
}
