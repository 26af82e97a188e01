// How much a restore point takes without deltas (pure), as when it is written as an archive or all of it is stored anew.

import type { Manifest } from "./manifest.ts";

/** An estimate, in bytes: relations with deltas take of their text what the others, which have none, take of theirs. */
export function fullSizeBytes({
  relations,
  largeObjects,
  totals,
}: Pick<Manifest, "relations" | "largeObjects" | "totals">): number {
  const all = [...relations, ...largeObjects];
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const withDeltas = all.filter(({ deltaChunkCount = 0 }) => deltaChunkCount > 0);
  const others = all.filter(({ deltaChunkCount = 0 }) => deltaChunkCount === 0);
  const othersRaw = sum(others.map(({ rawBytes }) => rawBytes));
  const ratio = othersRaw === 0 ? 1 : sum(others.map(({ sealedBytes }) => sealedBytes)) / othersRaw;
  const more = withDeltas.map(({ rawBytes, sealedBytes }) => Math.max(0, Math.ceil(rawBytes * ratio) - sealedBytes));
  return totals.sealedBytes + sum(more);
}
