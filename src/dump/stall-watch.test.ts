import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { READ_STALL_MS, StallWatch } from "./stall-watch.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("silence is a stall only while something is awaited, and only when it lasts", async () => {
  let [isWaiting, bytes] = [false, 0];
  const onStall = vi.fn<() => void>();
  const watch = new StallWatch({ limitMs: READ_STALL_MS, isWaiting: () => isWaiting, progress: () => bytes, onStall });
  await vi.advanceTimersByTimeAsync(2 * READ_STALL_MS);
  isWaiting = true;
  await vi.advanceTimersByTimeAsync(0.9 * READ_STALL_MS);
  bytes += 1;
  await vi.advanceTimersByTimeAsync(0.9 * READ_STALL_MS);
  expect(onStall).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(2 * READ_STALL_MS);
  expect(onStall).toHaveBeenCalledTimes(1);
  watch.end();
});
