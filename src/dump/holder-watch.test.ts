import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { HOLDER_ANSWER_TIMEOUT_MS, HOLDER_PING_INTERVAL_MS, HolderWatch } from "./holder-watch.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function watched(ask: () => Promise<unknown>): { watch: HolderWatch; lost: unknown[] } {
  const lost: unknown[] = [];
  return { watch: new HolderWatch(ask, (error) => lost.push(error)), lost };
}

test("a holder that takes long to answer is asked once, and is not lost", async () => {
  let answer = (): void => {};
  const ask = vi.fn<() => Promise<void>>(() => new Promise<void>((resolve) => (answer = resolve)));
  const { watch, lost } = watched(ask);
  await vi.advanceTimersByTimeAsync(5 * HOLDER_PING_INTERVAL_MS);
  expect(ask).toHaveBeenCalledTimes(1);
  answer();
  await vi.advanceTimersByTimeAsync(HOLDER_PING_INTERVAL_MS);
  expect(ask).toHaveBeenCalledTimes(2);
  expect(lost).toEqual([]);
  watch.end();
});

test("a holder that never answers is lost", async () => {
  const { watch, lost } = watched(() => new Promise(() => {}));
  await vi.advanceTimersByTimeAsync(HOLDER_ANSWER_TIMEOUT_MS + 2 * HOLDER_PING_INTERVAL_MS);
  expect(lost[0]).toMatchObject({ code: "stalled" });
  watch.end();
});

test("a holder at work is not asked, and begins its work after its answer", async () => {
  let answer = (): void => {};
  const ask = vi.fn<() => Promise<void>>(() => new Promise<void>((resolve) => (answer = resolve)));
  const { watch } = watched(ask);
  await vi.advanceTimersByTimeAsync(HOLDER_PING_INTERVAL_MS);
  let isFree = false;
  const paused = watch.pause().then(() => (isFree = true));
  await vi.advanceTimersByTimeAsync(0);
  expect(isFree).toBe(false);
  answer();
  await paused;
  await vi.advanceTimersByTimeAsync(3 * HOLDER_PING_INTERVAL_MS);
  expect(ask).toHaveBeenCalledTimes(1);
  watch.end();
});
