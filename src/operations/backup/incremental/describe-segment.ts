// A segment in words, and what a self-check found.

import type { SegmentDifference, SelfCheckFacts } from "./types.ts";

/** `public.t, blocks 512 to 1023`. */
function describeSegment({ table, firstBlock, blockCount }: SegmentDifference): string {
  const last = blockCount === null ? "the end" : String(firstBlock + blockCount - 1);
  return `${table}, blocks ${firstBlock} to ${last}`;
}

/** Each that is listed, in words. */
export function describeDifferences({ differences, largeObjectDifferences }: SelfCheckFacts): string[] {
  const ofLargeObjects = largeObjectDifferences.map(({ firstOid, lastOid }) => {
    return firstOid === lastOid ? `large object ${firstOid}` : `large objects ${firstOid} to ${lastOid}`;
  });
  return [...differences.map(describeSegment), ...ofLargeObjects];
}
