// The memory of expire, prune and check does not grow with the number of chunks as such: see docs/operating/retention.md.

import { expect, test } from "vitest";
import { measureLargeRepository } from "./large-repository.ts";

const CHUNKS = 20_000;
const MIB = 1024 * 1024;

test(`prune of ${CHUNKS} chunks needs hardly more memory than listing restore points`, async () => {
  const { check, expire, list, open, repack } = await measureLargeRepository(CHUNKS);
  expect(check.count).toBe(CHUNKS);
  expect(list.count).toBeGreaterThan(50);
  expect(repack.count).toBeGreaterThanOrEqual(list.count);
  for (const step of [expire, list, repack, check])
    expect((step.rssMaxBytes - open.rssMaxBytes) / MIB).toBeLessThan(80);
});
