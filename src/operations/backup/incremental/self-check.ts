// The self-check: everything was read, and what would have been taken over was compared with what was read.

import { warn } from "../../events.ts";
import type { OperationContext } from "../../operation.ts";
import type { RepositorySink } from "../repository-sink.ts";
import { describeDifferences } from "./describe-segment.ts";
import type { SelfCheckFacts } from "./types.ts";

/** Differences that a receipt lists; all are counted. */
const DIFFERENCES_LISTED_MAX = 1000;
const DIFFERENCES_NAMED_MAX = 10;

/** What was compared. Tables whose definition changed meanwhile are left out: their text may differ rightly. */
export function selfCheckFacts(sink: RepositorySink, unstable: ReadonlySet<number>): SelfCheckFacts {
  const found = sink.differences.filter(({ table }) => !unstable.has(table.dumpId));
  const differences = found.slice(0, DIFFERENCES_LISTED_MAX).map(({ table, segmentIndex }) => {
    const { firstBlock, blockCount } = table.segments[segmentIndex]!;
    return { table: `${table.relation.namespace}.${table.relation.name}`, firstBlock, blockCount };
  });
  const { counts, differences: ofLargeObjects } = sink.objects;
  return {
    comparedSegmentCount: sink.segments.comparedCount,
    comparedLargeObjectCount: counts.comparedCount,
    differenceCount: found.length + ofLargeObjects.length,
    differences,
    largeObjectDifferences: ofLargeObjects.slice(0, DIFFERENCES_LISTED_MAX),
  };
}

/** What differs, in the plural. */
export function differingUnits({ largeObjectDifferences }: SelfCheckFacts): string {
  return largeObjectDifferences.length === 0 ? "segments" : "segments or groups of large objects";
}

/** Tells loudly of differences. */
export function warnOfDifferences(context: OperationContext, facts: SelfCheckFacts): readonly string[] {
  const { comparedSegmentCount, differenceCount } = facts;
  if (differenceCount === 0) return [];
  const named = describeDifferences(facts).slice(0, DIFFERENCES_NAMED_MAX);
  const more = differenceCount > named.length ? `; and ${differenceCount - named.length} more` : "";
  const ofAll = facts.largeObjectDifferences.length === 0 ? ` of ${comparedSegmentCount}` : "";
  const what = `${differenceCount}${ofAll} ${differingUnits(facts)}`;
  const message = `self-check: ${what} are not what would have been taken over: ${named.join("; ")}${more}`;
  const detail =
    "This restore point holds what was read. Earlier ones may hold old rows there. Either the server's files were changed behind its back, or this is a defect.";
  const hint =
    "Nothing is taken over any more until a run with --full. Please report it, with the output of --explain --json.";
  return [warn(context, { message, detail, hint })];
}
