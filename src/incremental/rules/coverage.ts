// WAL summaries: which files cover a range of the WAL without a gap, and which one seals a restore point.
// Only files of one timeline count. Files may overlap and come in any order. Source: docs/formats/incremental.md.

import type { ServerPosition, WalSummary } from "../types.ts";

/** From `fromLsn` up to `toLsn`. */
export interface WalRange {
  readonly timeline: number;
  readonly fromLsn: bigint;
  readonly toLsn: bigint;
}

/** The files that cover a range, or the first part of it that no file covers. */
export type Coverage =
  | { readonly kind: "covered"; readonly summaries: readonly WalSummary[] }
  | { readonly kind: "gap"; readonly fromLsn: bigint; readonly toLsn: bigint };

/** Every file that has WAL of the range, in the order of their LSNs, if together they leave nothing out. */
export function coverRange(summaries: readonly WalSummary[], range: WalRange): Coverage {
  const chosen = summaries
    .filter(({ timeline, startLsn, endLsn }) => {
      return timeline === range.timeline && startLsn < endLsn && endLsn > range.fromLsn && startLsn < range.toLsn;
    })
    .toSorted(byStart);
  let reached = range.fromLsn;
  for (const { startLsn, endLsn } of chosen) {
    if (startLsn > reached) return { kind: "gap", fromLsn: reached, toLsn: startLsn };
    if (endLsn > reached) reached = endLsn;
  }
  if (reached < range.toLsn) return { kind: "gap", fromLsn: reached, toLsn: range.toLsn };
  return { kind: "covered", summaries: withoutRepeats(chosen) };
}

/**
 * The files that lie wholly within the range, from one that starts with it to one that ends with it and without a gap; null when they
 * do not. The digest of a restore point is of these, from its base to its seal: the same ones whenever it is asked.
 */
export function summariesWithin(summaries: readonly WalSummary[], range: WalRange): readonly WalSummary[] | null {
  const within = summaries.filter(({ startLsn, endLsn }) => startLsn >= range.fromLsn && endLsn <= range.toLsn);
  const coverage = coverRange(within, range);
  return coverage.kind === "covered" && coverage.summaries.length > 0 ? coverage.summaries : null;
}

/** The seal: the lowest end of a summary that reaches the snapshot's LSN; null when there is none yet. */
export function sealOf(
  summaries: readonly WalSummary[],
  position: Pick<ServerPosition, "timeline" | "snapshotLsn">,
): bigint | null {
  let seal: bigint | null = null;
  for (const { timeline, endLsn } of summaries) {
    const isReaching = timeline === position.timeline && endLsn >= position.snapshotLsn;
    if (isReaching && (seal === null || endLsn < seal)) seal = endLsn;
  }
  return seal;
}

function byStart(one: WalSummary, other: WalSummary): number {
  const difference = one.startLsn === other.startLsn ? one.endLsn - other.endLsn : one.startLsn - other.startLsn;
  return difference < 0n ? -1 : Number(difference > 0n);
}

function withoutRepeats(ordered: readonly WalSummary[]): readonly WalSummary[] {
  return ordered.filter((one, index) => index === 0 || byStart(ordered[index - 1]!, one) !== 0);
}
