// May a run take over anything from its parent, and what has to be asked of which WAL summaries? Everything that holds for all
// relations alike; judge-relation.ts says the rest. Any doubt reads everything. Source: docs/formats/incremental.md.

import type { IncrementalRecord, RunVerdict, ServerPosition, WalSummary } from "../types.ts";
import { coverRange, summariesWithin } from "./coverage.ts";
import { historyBreak } from "./history.ts";
import { formatLsn } from "./lsn.ts";
import { textDifference } from "./text-shape.ts";
import type { RunFacts } from "./text-shape.ts";

/** Judges a parent for a run: `summaries` are the server's, listed once after `now`'s snapshot LSN was covered. */
export function judgeRun(parent: IncrementalRecord, now: RunFacts, summaries: readonly WalSummary[]): RunVerdict {
  if (parent.distrustedBecause !== null) {
    const reason = `nothing is taken over until a run with --full: ${parent.distrustedBecause}`;
    return { kind: "read-all", reason };
  }
  const reason =
    historyBreak(parent, now.position, summaries) ??
    orderBreak(parent.position, now.position) ??
    textDifference(parent, now);
  return reason === null ? compareFrom(parent, now.position, summaries) : { kind: "read-all", reason };
}

/** Why what the summaries between base and seal say is not what the parent recorded of them; null: it is. */
export function judgeDigest({ summaryDigest }: IncrementalRecord, digestNow: string): string | null {
  if (summaryDigest === digestNow) return null;
  return "the WAL summaries from the parent's base to its seal do not say what they said when it was made";
}

/** A host that is behind the parent's shows an older state than what would be taken over. */
function orderBreak(then: ServerPosition, now: ServerPosition): string | null {
  if (now.snapshotLsn < then.snapshotLsn) {
    return `the server is behind the parent: ${formatLsn(then.snapshotLsn)} then, ${formatLsn(now.snapshotLsn)} now`;
  }
  if (now.xmin >= then.xmin) return null;
  return `the snapshot is older than the parent's: xmin ${then.xmin} then, ${now.xmin} now`;
}

function compareFrom(
  { position: then, baseLsn, sealLsn, summaryDigest }: IncrementalRecord,
  now: ServerPosition,
  summaries: readonly WalSummary[],
): RunVerdict {
  if (baseLsn === null) {
    const reason = "the parent has no base: a transaction was open since before all checkpoints that it knows of";
    return { kind: "read-all", reason };
  }
  if (sealLsn === null || summaryDigest === null) return { kind: "read-all", reason: "the parent is not sealed" };
  const { timeline } = then;
  if (!summaries.some((one) => one.timeline === timeline && one.startLsn === baseLsn)) {
    return { kind: "read-all", reason: `no WAL summary starts at the parent's base, ${formatLsn(baseLsn)}` };
  }
  const toLsn = now.snapshotLsn;
  const coverage = coverRange(summaries, { timeline, fromLsn: baseLsn, toLsn });
  if (coverage.kind === "gap") {
    const gap = `from ${formatLsn(coverage.fromLsn)} to ${formatLsn(coverage.toLsn)}`;
    return { kind: "read-all", reason: `WAL summaries are missing ${gap}` };
  }
  const sealedSummaries = summariesWithin(summaries, { timeline, fromLsn: baseLsn, toLsn: sealLsn });
  if (sealedSummaries === null) {
    return { kind: "read-all", reason: "WAL summaries are missing between the parent's base and its seal" };
  }
  return { kind: "compare", fromLsn: baseLsn, toLsn, summaries: coverage.summaries, sealedSummaries };
}
