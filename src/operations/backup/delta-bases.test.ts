import { describe, expect, test } from "vitest";

import { OperatingError } from "../../base/errors.ts";
import type { ChunkReference, Run } from "../../repository/index.ts";
import { baseOf, DeltaBases } from "./delta-bases.ts";

/** Ids stand in a page of a list, as they do when they are read. */
const page = new Uint8Array(1 << 20);

function chunk(itemNumber: number, facts: Partial<ChunkReference> = {}): ChunkReference {
  page.fill(itemNumber, itemNumber * 32, (itemNumber + 1) * 32);
  return {
    kind: "table",
    id: page.subarray(itemNumber * 32, (itemNumber + 1) * 32),
    pack: "p",
    itemNumber,
    offset: 0,
    lengthBytes: 700_000,
    rawLengthBytes: 2_000_000,
    rowCount: 10,
    continues: false,
    encoding: "zstd",
    base: null,
    ...facts,
  };
}

function run(facts: Partial<Record<"takesDeltas" | "readsLocally" | "hasParent", boolean>> = {}, lost = -1): Run {
  const { takesDeltas = true, readsLocally = true, hasParent = true } = facts;
  const loadChunk = async (): Promise<never> => Promise.reject(new OperatingError("corrupt", "for this test"));
  const parent = hasParent ? { loadChunk } : null;
  const canReuse = ({ itemNumber }: ChunkReference): boolean => itemNumber !== lost;
  return { takesDeltas, readsLocally, parent, canReuse } as unknown as Run;
}

describe("DeltaBases", () => {
  test("offers full chunks, and of deltas what they lean on", () => {
    const full = chunk(1);
    const delta = chunk(2, { encoding: "zstd-delta", lengthBytes: 900, rawLengthBytes: 1_900_000, base: full });
    expect(baseOf(delta)).toBe(full);
    const offered = new DeltaBases(run(), "zstd").offer([full, delta])!;
    const base = { frameLengthBytes: 700_000, rawLengthBytes: 2_000_000 };
    expect(offered.map(({ rawLengthBytes }) => rawLengthBytes)).toEqual([2_000_000, 1_900_000]);
    expect(offered.map((one) => one.base)).toEqual([base, base]);
    expect(offered[1]!.id).toEqual(new Uint8Array(32).fill(2));
    expect(offered[1]!.id.buffer.byteLength).toBe(32); // the page stays here
  });

  test("offers nothing that cannot be leant on, but tells where it stands", () => {
    const bases = new DeltaBases(run({}, 3), "zstd");
    const usable = chunk(1);
    const onLost = chunk(4, { encoding: "zstd-delta", base: chunk(3) });
    const others = [chunk(3), onLost, chunk(5, { encoding: "none" }), chunk(6, { rawLengthBytes: 10_000 })];
    expect(bases.offer([usable, ...others])!.map(({ base }) => base !== null)).toEqual([
      true,
      false,
      false,
      false,
      false,
    ]);
    expect(bases.offer(others)).toBeNull();
    expect(bases.offer([])).toBeNull();
    expect(bases.offer(Array.from({ length: 16_384 }, () => usable))).not.toBeNull();
    expect(bases.offer(Array.from({ length: 16_385 }, () => usable))).toBeNull();
  });

  test.each([
    ["without compression", run(), "none"],
    ["in a repository that takes no deltas", run({ takesDeltas: false }), "zstd"],
    ["behind a network", run({ readsLocally: false }), "zstd"],
    ["without a parent", run({ hasParent: false }), "zstd"],
  ] as const)("offers nothing %s", (_, given, encoding) => {
    expect(new DeltaBases(given, encoding).offer([chunk(1)])).toBeNull();
  });

  test("counts what it fetched, damaged or not, and tells the run of damage", async () => {
    const noted: unknown[] = [];
    const noteDamage = (...facts: unknown[]): number => noted.push(facts);
    const bases = new DeltaBases(Object.assign(run(), { noteDamage }), "zstd");
    expect(await bases.load(chunk(1), "public.t")).toBeNull();
    expect(noted).toEqual([[chunk(1), { relation: "public.t", reason: "for this test" }]]);
    bases.count(2_000_000, 900);
    expect(bases.counts).toEqual({ chunkCount: 1, rawBytes: 2_000_000, storedBytes: 900, fetchedBytes: 700_000 });
  });
});
