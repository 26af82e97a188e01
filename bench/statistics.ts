// Medians and ratios of pairs (pure).

/** The middle of some numbers; the mean of the two middle ones of an even count. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Ratios of ours to theirs, pair by pair. */
export interface PairRatios {
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
}

export function ratiosOf(ours: readonly number[], theirs: readonly number[]): PairRatios {
  const ratios = ours.map((value, index) => value / theirs[index]!);
  return { median: median(ratios), lowest: Math.min(...ratios), highest: Math.max(...ratios) };
}
