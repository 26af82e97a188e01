import { describe, expect, test } from "vitest";

import { OperatingError } from "../../base/errors.ts";
import type { ChunkReference, ReadBack, UnsealedChunk } from "../../repository/index.ts";
import { BaseFetching, type FetchLimits } from "./base-fetching.ts";

const SIZE = 700_000;
const signal = new AbortController().signal;

function chunk(itemNumber: number, facts: Partial<ChunkReference> = {}): ChunkReference {
  return {
    kind: "table",
    id: new Uint8Array(32).fill(itemNumber),
    pack: "p",
    itemNumber,
    offset: 100 + itemNumber * SIZE,
    lengthBytes: SIZE,
    rawLengthBytes: 2_000_000,
    rowCount: 10,
    continues: false,
    encoding: "zstd",
    base: null,
    ...facts,
  };
}

const neighbours = (count: number, first = 0): ChunkReference[] =>
  Array.from({ length: count }, (_, index) => chunk(first + index));

type Answer = (group: readonly ChunkReference[], signal: AbortSignal) => Promise<void>;

/** A storage that answers as `answer` says, and notes what it was asked for. */
function readBack(answer: Answer = async () => {}): { readBack: ReadBack; asked: number[][] } {
  const asked: number[][] = [];
  const transfer = { requests: 0, bytesRead: 0, bytesWritten: 0 };
  const read: ReadBack["read"] = async (group, limit) => {
    asked.push(group.map(({ itemNumber }) => itemNumber));
    transfer.requests += 1;
    await answer(group, limit);
    transfer.bytesRead += group.length * SIZE;
    return group.map((reference): UnsealedChunk => ({ reference, encoding: "zstd", bytes: new Uint8Array(1) }));
  };
  const plaintextOf: ReadBack["plaintextOf"] = async ({ reference }) => Uint8Array.of(reference.itemNumber);
  return { readBack: { read, plaintextOf, transfer } as unknown as ReadBack, asked };
}

const LIMITS: FetchLimits = { readsAhead: true, waitMsMax: 60_000, slowMsMax: null };

async function fetchAll(fetching: BaseFetching, bases: readonly ChunkReference[]): Promise<void> {
  for (const base of bases) {
    expect(await fetching.fetch(base)).toEqual({ kind: "loaded", plaintext: Uint8Array.of(base.itemNumber) });
  }
}

describe("BaseFetching", () => {
  test("asks for more at once the more are wanted in their order, up to 4 MiB, and for each one only once", async () => {
    const { readBack: storage, asked } = readBack();
    const fetching = new BaseFetching(storage, LIMITS, signal);
    const bases = neighbours(20);
    fetching.expect(bases);
    await fetchAll(fetching, bases);
    expect(asked).toEqual([
      [0, 1],
      [2, 3, 4, 5, 6],
      [7, 8, 9, 10, 11],
      [12, 13, 14, 15, 16],
      [17, 18, 19],
    ]);
    expect(fetching).toMatchObject({ requestCount: 5, fetchedBytes: 20 * SIZE, endedBecause: null, failure: null });
  });

  test("asks for single ones where they are not wanted in their order, and for fewer after what was in vain", async () => {
    const { readBack: storage, asked } = readBack();
    const fetching = new BaseFetching(storage, LIMITS, signal);
    const bases = neighbours(40);
    fetching.expect(bases);
    await fetchAll(fetching, [bases[0]!]);
    fetching.forget(bases.slice(0, 5)); // 1 was in vain
    await fetchAll(fetching, [bases[10]!, bases[20]!]);
    expect(asked).toEqual([[0, 1], [10], [20]]);
    await fetchAll(fetching, [bases[21]!, bases[22]!, bases[23]!]);
    expect(asked.slice(3)).toEqual([
      [21, 22],
      [23, 24, 25, 26, 27],
    ]);
    fetching.forget(bases.slice(20, 30)); // 24 to 27 were in vain
    await fetchAll(fetching, [bases[35]!]);
    expect(asked.slice(5)).toEqual([[35, 36, 37, 38]]);
  });

  test("asks for nothing else with it where that brings nothing, nor what is not expected or lies elsewhere", async () => {
    const near = readBack();
    const local = new BaseFetching(near.readBack, { ...LIMITS, readsAhead: false }, signal);
    local.expect(neighbours(3));
    await fetchAll(local, neighbours(3));
    expect(near.asked).toEqual([[0], [1], [2]]);
    const far = readBack();
    const fetching = new BaseFetching(far.readBack, LIMITS, signal);
    fetching.expect([...neighbours(2), chunk(3), chunk(4, { pack: "q" })]);
    await fetchAll(fetching, [...neighbours(2), chunk(3), chunk(4, { pack: "q" })]);
    expect(far.asked).toEqual([[0, 1], [3], [4]]);
  });

  test("keeps no more than 16 MiB that were read ahead", async () => {
    const { readBack: storage, asked } = readBack();
    const fetching = new BaseFetching(storage, LIMITS, signal);
    fetching.expect(neighbours(200));
    await fetchAll(fetching, neighbours(3));
    for (let first = 20; first < 200; first += 20) await fetchAll(fetching, [chunk(first)]);
    const aheadBytes = (asked.flat().length - asked.length) * SIZE;
    expect(aheadBytes).toBeGreaterThan(16 * 2 ** 20);
    expect(aheadBytes).toBeLessThan(20 * 2 ** 20);
    expect(asked.at(-1)).toEqual([180]);
  });

  test("a request that fails for damage is made again for what was wanted alone", async () => {
    const { readBack: storage, asked } = readBack(async (group) => {
      if (group.some(({ itemNumber }) => itemNumber === 2)) throw new OperatingError("corrupt", "for this test");
    });
    const fetching = new BaseFetching(storage, LIMITS, signal);
    fetching.expect(neighbours(5));
    await fetchAll(fetching, [chunk(0), chunk(1)]);
    expect(await fetching.fetch(chunk(2))).toEqual({ kind: "damaged", reason: "for this test" });
    await fetchAll(fetching, [chunk(3)]);
    expect(asked).toEqual([[0, 1], [2, 3, 4], [2], [3]]);
    expect(fetching).toMatchObject({ endedBecause: null, failure: null });
  });

  test.each(["permission_denied", "storage_failed", "connection_failed", "stalled"] as const)(
    "is done without after three in a row that end with %s",
    async (code) => {
      let isBroken = true;
      const { readBack: storage, asked } = readBack(async () => {
        if (isBroken) throw new OperatingError(code, "for this test", { retryable: code !== "permission_denied" });
      });
      const fetching = new BaseFetching(storage, LIMITS, signal);
      const bases = Array.from({ length: 9 }, (_, index) => chunk(index, { pack: `p${index}` }));
      for (const index of [0, 1]) expect(await fetching.fetch(bases[index]!)).toEqual({ kind: "missed" });
      isBroken = false;
      await fetchAll(fetching, [bases[2]!]);
      isBroken = true;
      for (const index of [3, 4, 5]) {
        expect(fetching.endedBecause).toBeNull();
        expect(await fetching.fetch(bases[index]!)).toEqual({ kind: "missed" });
      }
      expect(fetching).toMatchObject({ endedBecause: "for this test", failure: "for this test" });
      expect(await fetching.fetch(bases[6]!)).toEqual({ kind: "missed" });
      expect(asked).toHaveLength(6);
    },
  );

  test("a pack that may not be read is not asked again, others are", async () => {
    const { readBack: storage, asked } = readBack(async ([first]) => {
      if (first!.pack === "cold") throw new OperatingError("storage_failed", "it lies in an archive");
    });
    const fetching = new BaseFetching(storage, LIMITS, signal);
    const cold = chunk(1, { pack: "cold" });
    expect(await fetching.fetch(cold)).toEqual({ kind: "missed" });
    expect(fetching.isWorthAsking(cold)).toBe(false);
    expect(await fetching.fetch(chunk(2, { pack: "cold" }))).toEqual({ kind: "missed" });
    await fetchAll(fetching, [chunk(3)]);
    expect(asked).toEqual([[1], [3]]);
  });

  test("waits no longer than its limits, and hears that the run is cancelled", async () => {
    const never: Answer = async () => await new Promise(() => {});
    const late = new BaseFetching(readBack(never).readBack, { ...LIMITS, waitMsMax: 30 }, signal);
    expect(await late.fetch(chunk(0))).toEqual({ kind: "missed" });
    expect(late.failure).toBe("one did not come within 0.0 s");

    const slowly: Answer = async () => await new Promise((resolve) => setTimeout(resolve, 600));
    const slow = new BaseFetching(readBack(slowly).readBack, { ...LIMITS, slowMsMax: 150 }, signal);
    await Promise.all([fetchAll(slow, [chunk(0)]), fetchAll(slow, [chunk(5)])]); // at once: counted once
    expect(slow.endedBecause).toBeNull();
    await fetchAll(slow, [chunk(9)]);
    expect(slow.endedBecause).toMatch(/^reading back is slow, it took 0\.\d s/);
    expect(slow.failure).toBeNull();

    const controller = new AbortController();
    const cancelled = new BaseFetching(readBack(never).readBack, LIMITS, controller.signal);
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), 20);
    await expect(cancelled.fetch(chunk(0))).rejects.toBe(reason);
  });
});
