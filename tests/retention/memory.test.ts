// The memory of expire, prune and check does not grow with the number of chunks as such: see docs/operating/retention.md.
// What is in use after collecting garbage is compared between a small and a larger repository: two hundred bytes kept for each
// chunk, two hundred megabytes for a million, would show.

import { expect, test } from "vitest";
import { measureLargeRepository } from "./large-repository.ts";

const CHUNKS = [12_000, 24_000] as const;
const MIB = 1024 * 1024;
/** Half of it is what grows here and not without end: packs of 16 KiB, pages of lists that are kept, places of moved items. */
const BYTES_PER_CHUNK_MAX = 200;

test(`prune and check of ${CHUNKS[1]} chunks need hardly more memory than of ${CHUNKS[0]}`, async () => {
  const small = await measureLargeRepository(CHUNKS[0]);
  const large = await measureLargeRepository(CHUNKS[1]);
  expect(large.check.count).toBe(CHUNKS[1]);
  expect(large.list.count).toBeGreaterThan(50);
  expect(large.repack.count).toBeGreaterThanOrEqual(large.list.count);
  for (const step of ["expire", "list", "repack", "check"] as const) {
    const grown = large[step].liveMaxBytes - small[step].liveMaxBytes;
    expect(grown / (CHUNKS[1] - CHUNKS[0]), step).toBeLessThan(BYTES_PER_CHUNK_MAX);
    expect((large[step].rssMaxBytes - large.open.rssMaxBytes) / MIB, step).toBeLessThan(100);
  }
});
