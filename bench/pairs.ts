// Runs ours and theirs in turn, A B B A, and compares them: the first of a pair may be slower than the second.

import { atMost, type Figure } from "./figure.ts";
import type { Measurement } from "./measure.ts";
import { median, ratiosOf } from "./statistics.ts";

export interface Pairs {
  readonly ours: readonly Measurement[];
  readonly theirs: readonly Measurement[];
}

export async function runPairs(
  count: number,
  ours: () => Promise<Measurement>,
  theirs: () => Promise<Measurement>,
): Promise<Pairs> {
  const pairs = { ours: [] as Measurement[], theirs: [] as Measurement[] };
  for (let index = 0; index < count; index += 1) {
    if (index % 2 === 0) pairs.ours.push(await ours());
    pairs.theirs.push(await theirs());
    if (index % 2 === 1) pairs.ours.push(await ours());
  }
  return pairs;
}

/** Median of the pairs' ratios of wall time, with the lowest and the highest. */
export function wallFigure(name: string, { ours, theirs }: Pairs, limit: number): Figure {
  const ratios = ratiosOf(wall(ours), wall(theirs));
  const [middle, lowest, highest] = [ratios.median, ratios.lowest, ratios.highest].map((value) => value.toFixed(2));
  const seconds = `${median(wall(ours)).toFixed(2)} s : ${median(wall(theirs)).toFixed(2)} s`;
  return atMost(name, ratios.median, limit, `${middle} (${lowest} to ${highest}; ${seconds})`);
}

/** Median of ours against one slow run of theirs. */
export function wallAgainstOne(name: string, ours: readonly Measurement[], peer: Measurement, limit: number): Figure {
  const seconds = median(wall(ours));
  const ratio = seconds / peer.wallSeconds;
  return atMost(name, ratio, limit, `${ratio.toFixed(2)} (${seconds.toFixed(2)} s : ${peer.wallSeconds.toFixed(2)} s)`);
}

function wall(measurements: readonly Measurement[]): number[] {
  return measurements.map(({ wallSeconds }) => wallSeconds);
}
