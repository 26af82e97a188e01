// Tells what became of the large objects, and why those that were read were.

import type { RepositorySink } from "../repository-sink.ts";
import type { ReadingPlan } from "./plan-reading.ts";
import type { LargeObjectReading } from "./types.ts";

/** For the receipt; null: the archive has none. */
export function largeObjectFacts(
  { allReadBecause, isCompared, judgement }: ReadingPlan,
  { objects }: RepositorySink,
): LargeObjectReading | null {
  const { readCount, takenOverCount } = objects.counts;
  if (readCount + takenOverCount === 0) return null;
  if (readCount === 0) return { takenOverCount, readBecause: {} };
  const verdict = judgement?.largeObjects;
  const reason = allReadBecause !== null ? "everything is read" : verdict?.kind === "read-all" ? verdict.reason : null;
  const other = isCompared ? "to be compared" : "the parent has other ones, or what it has cannot be taken over";
  return { takenOverCount, readBecause: { [reason ?? other]: readCount } };
}
