// The self-check: everything was read, and what would have been taken over was compared with what was read.

import { warn } from "../../events.ts";
import type { OperationContext } from "../../operation.ts";
import type { RepositorySink } from "../repository-sink.ts";
import { describeSegment } from "./describe-segment.ts";
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
  return { comparedSegmentCount: sink.segments.comparedCount, differenceCount: found.length, differences };
}

/** Tells loudly of differences. */
export function warnOfDifferences(context: OperationContext, facts: SelfCheckFacts): readonly string[] {
  const { comparedSegmentCount, differenceCount, differences } = facts;
  if (differenceCount === 0) return [];
  const named = differences.slice(0, DIFFERENCES_NAMED_MAX).map(describeSegment);
  const more = differenceCount > named.length ? `; and ${differenceCount - named.length} more` : "";
  const message = `self-check: ${differenceCount} of ${comparedSegmentCount} segments are not what would have been taken over: ${named.join("; ")}${more}`; // prettier-ignore
  const detail =
    "This restore point holds what was read. Earlier ones may hold old rows there. Either the server's files were changed behind its back, or this is a defect.";
  const hint =
    "Nothing is taken over any more until a run with --full. Please report it, with the output of --explain --json.";
  return [warn(context, { message, detail, hint })];
}
