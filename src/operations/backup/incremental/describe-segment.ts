// A segment in words.

import type { SegmentDifference } from "./types.ts";

/** `public.t, blocks 512 to 1023`. */
export function describeSegment({ table, firstBlock, blockCount }: SegmentDifference): string {
  const last = blockCount === null ? "the end" : String(firstBlock + blockCount - 1);
  return `${table}, blocks ${firstBlock} to ${last}`;
}
