import { describe, expect, test } from "vitest";

import { OperatingError } from "../../base/errors.ts";
import type { ChunkReference, ReadBack, Run } from "../../repository/index.ts";
import { baseOf, DeltaBases, type DeltaSettings } from "./delta-bases.ts";

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

interface RunFacts {
  readonly takesDeltas?: boolean;
  readonly readsBackOver?: Run["readsBackOver"];
  readonly hasParent?: boolean;
  readonly lost?: number;
  readonly read?: ReadBack["read"];
}

const damaged: ReadBack["read"] = () => Promise.reject(new OperatingError("corrupt", "for this test"));

function run(facts: RunFacts = {}): Run {
  const { takesDeltas = true, readsBackOver = "disk", hasParent = true, lost = -1, read = damaged } = facts;
  const canReuse = ({ itemNumber }: ChunkReference): boolean => itemNumber !== lost;
  const openReadBack = (): object => ({ read, transfer: { requests: 3, bytesRead: 700_000, bytesWritten: 0 } });
  return { takesDeltas, readsBackOver, parent: hasParent ? {} : null, canReuse, openReadBack } as unknown as Run;
}

const { signal } = new AbortController();
const AUTO: DeltaSettings = { encoding: "zstd", choice: "auto", signal };

describe("DeltaBases", () => {
  test("offers full chunks, and of deltas what they lean on", () => {
    const full = chunk(1);
    const delta = chunk(2, { encoding: "zstd-delta", lengthBytes: 900, rawLengthBytes: 1_900_000, base: full });
    expect(baseOf(delta)).toBe(full);
    const offered = new DeltaBases(run(), AUTO).offer([full, delta])!;
    const base = { frameLengthBytes: 700_000, rawLengthBytes: 2_000_000 };
    expect(offered.map(({ rawLengthBytes }) => rawLengthBytes)).toEqual([2_000_000, 1_900_000]);
    expect(offered.map((one) => one.base)).toEqual([base, base]);
    expect(offered[1]!.id).toEqual(new Uint8Array(32).fill(2));
    expect(offered[1]!.id.buffer.byteLength).toBe(32); // the page stays here
  });

  test("offers nothing that cannot be leant on, but tells where it stands", () => {
    const bases = new DeltaBases(run({ lost: 3 }), AUTO);
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
    ["without compression", run(), { encoding: "none" }],
    ["in a repository that takes no deltas", run({ takesDeltas: false }), {}],
    ["where the provider charges for reading", run({ readsBackOver: "charged network" }), {}],
    ["where it is said so", run(), { choice: "never" }],
    ["without a parent", run({ hasParent: false }), {}],
  ] as const)("offers nothing %s", (_, given, settings) => {
    expect(new DeltaBases(given, { ...AUTO, ...settings }).offer([chunk(1)])).toBeNull();
  });

  test("offers behind a network, and where reading is charged for when it is said so", () => {
    const far = run({ readsBackOver: "network" });
    expect(new DeltaBases(far, AUTO).offer([chunk(1)])).toHaveLength(1);
    const charged = run({ readsBackOver: "charged network" });
    expect(new DeltaBases(charged, { ...AUTO, choice: "always" }).offer([chunk(1)])).toHaveLength(1);
  });

  test("counts what was stored whole because reading is charged for, and only then", () => {
    const charged = new DeltaBases(run({ readsBackOver: "charged network" }), AUTO);
    charged.countWhole(1000);
    charged.countWhole(500);
    const withoutBecause = "reading back may be charged for there (--deltas always does it all the same)";
    expect(charged.counts).toMatchObject({ wholeChunkCount: 2, wholeBytes: 1500, withoutBecause, requestCount: 0 });
    for (const choice of ["always", "never"] as const) {
      const other = new DeltaBases(run(), { ...AUTO, choice });
      other.countWhole(1000);
      expect(other.counts).toMatchObject({ wholeChunkCount: 0, wholeBytes: 0, withoutBecause: null });
    }
  });

  test("tells the run of damage, and counts what was read back and stored", async () => {
    const noted: unknown[] = [];
    const noteDamage = (...facts: unknown[]): number => noted.push(facts);
    const bases = new DeltaBases(Object.assign(run(), { noteDamage }), AUTO);
    expect(await bases.load(chunk(1), "public.t")).toBeNull();
    expect(noted).toEqual([[chunk(1), { relation: "public.t", reason: "for this test" }]]);
    bases.count(2_000_000, 900);
    const stored = { chunkCount: 1, rawBytes: 2_000_000, storedBytes: 900 };
    expect(bases.counts).toMatchObject({ ...stored, fetchedBytes: 700_000, requestCount: 3, withoutBecause: null });
  });

  test("offers nothing more of packs that may not be read, and nothing at all once three failed", async () => {
    const read = (): Promise<never> => Promise.reject(new OperatingError("permission_denied", "for this test"));
    const bases = new DeltaBases(run({ read }), AUTO);
    expect(await bases.load(chunk(1), "public.t")).toBeNull();
    expect(bases.offer([chunk(2)])).toBeNull();
    expect(bases.offer([chunk(2), chunk(3, { pack: "q" })])!.map(({ base }) => base !== null)).toEqual([false, true]);
    for (const pack of ["q", "r"]) expect(await bases.load(chunk(4, { pack }), "public.t")).toBeNull();
    expect(bases.offer([chunk(5, { pack: "s" })])).toBeNull();
    bases.countWhole(1000);
    expect(bases.counts).toMatchObject({ withoutBecause: "for this test", wholeChunkCount: 1 });
    expect(bases.failure).toBe("for this test");
  });
});
