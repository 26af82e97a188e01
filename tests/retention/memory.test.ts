// The memory of expire, prune and check does not grow with the number of chunks as such: see docs/operating/retention.md.
// What is in use after collecting garbage is compared between a small and a larger repository: two hundred bytes kept for each
// chunk, two hundred megabytes for a million, would show.

import { expect, test } from "vitest";
import { measureLargeRepository } from "./large-repository.ts";

const CHUNKS = [12_000, 24_000] as const;
const MIB = 1024 * 1024;
/** Half of it is what grows here and not without end: packs of 16 KiB, pages of lists that are kept, places of moved items. */
const BYTES_PER_CHUNK_MAX = 200;
const RSS_MIB_MAX = 100;

/** What is in use at a sample may be about to go, which only adds: what always grows does so each time. */
const ATTEMPTS_MAX = 3;

test(`prune and check of ${CHUNKS[1]} chunks need hardly more memory than of ${CHUNKS[0]}`, async () => {
  let tooMuch: readonly string[] = [];
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    tooMuch = await findGrowth();
    if (tooMuch.length === 0) return;
    process.stderr.write(`memory of ${CHUNKS[1]} chunks, attempt ${attempt}: ${tooMuch.join(", ")}\n`);
  }
  expect(tooMuch).toEqual([]);
});

/** Steps that need more for the larger repository, with what they need. */
async function findGrowth(): Promise<readonly string[]> {
  const small = await measureLargeRepository(CHUNKS[0]);
  const large = await measureLargeRepository(CHUNKS[1]);
  expect(large.check.count).toBe(CHUNKS[1]);
  expect(large.list.count).toBeGreaterThan(50);
  expect(large.repack.count).toBeGreaterThanOrEqual(large.list.count);
  return (["expire", "list", "repack", "check"] as const).flatMap((step) => {
    const bytesPerChunk = (large[step].liveMaxBytes - small[step].liveMaxBytes) / (CHUNKS[1] - CHUNKS[0]);
    const rssMib = (large[step].rssMaxBytes - large.open.rssMaxBytes) / MIB;
    const isFine = bytesPerChunk < BYTES_PER_CHUNK_MAX && rssMib < RSS_MIB_MAX;
    return isFine ? [] : [`${step}: ${bytesPerChunk.toFixed()} bytes a chunk, ${rssMib.toFixed()} MiB`];
  });
}
