import { expect, test } from "vitest";

import { fullSizeBytes } from "./full-size.ts";
import type { Manifest } from "./manifest.ts";

function sizeOf(records: readonly (readonly [raw: number, sealed: number, deltas?: number])[]): number {
  const relations = records.map(([rawBytes, sealedBytes, deltaChunkCount]) => {
    return { rawBytes, sealedBytes, ...(deltaChunkCount !== undefined && { deltaChunkCount }) };
  });
  const sealedBytes = relations.reduce((sum, relation) => sum + relation.sealedBytes, 0);
  return fullSizeBytes({ relations, largeObjects: [], totals: { sealedBytes } } as unknown as Manifest);
}

test("fullSizeBytes() is the sum where there are no deltas", () => {
  expect(sizeOf([])).toBe(0);
  expect(sizeOf([[1000, 300], [0, 0]])).toBe(300); // prettier-ignore
});

test("fullSizeBytes() takes relations with deltas for as large as the others are, or as their text", () => {
  expect(sizeOf([[1000, 300], [5000, 20, 3]])).toBe(300 + 1500); // prettier-ignore
  expect(sizeOf([[5000, 20, 3]])).toBe(5000);
  expect(sizeOf([[1000, 300], [5000, 2000, 1]])).toBe(2300); // prettier-ignore
});
