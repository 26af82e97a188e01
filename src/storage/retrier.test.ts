import { describe, expect, test } from "vitest";
import { OperatingError } from "../base/errors.ts";
import { Retrier } from "./retrier.ts";
import type { Retry, RetryPolicy } from "./retrier.ts";

const busy = (): OperatingError =>
  new OperatingError("storage_failed", "could not read: SlowDown", { retryable: true });

function retrierWith(policy: Partial<RetryPolicy> = {}, random = 0.5) {
  const slept: number[] = [];
  const retries: Retry[] = [];
  const sleep = async (delayMs: number): Promise<void> => void slept.push(delayMs);
  const retrier = new Retrier({ policy, random: () => random, sleep, onRetry: (retry) => retries.push(retry) });
  return { retrier, slept, retries };
}

describe("Retrier.run()", () => {
  test("gives what the work gives, at once", async () => {
    const { retrier, slept } = retrierWith();
    expect(await retrier.run({ action: "x" }, async ({ number }) => number)).toBe(1);
    expect([slept, retrier.retryCount]).toEqual([[], 0]);
  });

  test("doubles its delays up to a limit, half of each being jitter, and counts", async () => {
    for (const [random, expected] of [
      [0, [50, 100, 200, 200]],
      [0.999, [100, 200, 400, 400]],
    ] as const) {
      const { retrier, slept, retries } = retrierWith({ attemptsMax: 5, firstDelayMs: 100, delayMsMax: 400 }, random);
      await expect(retrier.run({ action: "x" }, () => Promise.reject(busy()))).rejects.toMatchObject({
        code: "storage_failed",
        retryable: true,
        detail: "It was tried 5 times.",
      });
      expect(slept).toEqual(expected);
      expect(retrier.retryCount).toBe(4);
      expect(retries.at(-1)).toMatchObject({ attempt: 4, attemptsMax: 5, message: "could not read: SlowDown" });
    }
  });

  test("does not try again what cannot get better, nor what is no OperatingError", async () => {
    const { retrier } = retrierWith();
    const denied = new OperatingError("permission_denied", "no");
    await expect(retrier.run({ action: "x" }, () => Promise.reject(denied))).rejects.toBe(denied);
    const defect = new TypeError("defect");
    await expect(retrier.run({ action: "x" }, () => Promise.reject(defect))).rejects.toBe(defect);
    expect(retrier.retryCount).toBe(0);
  });

  test("takes a server that never answered for a wrong address sooner than one that did", async () => {
    const unreachable = new OperatingError("connection_failed", "nobody there", { retryable: true });
    const tries = async (retrier: Retrier): Promise<number> => {
      let count = 0;
      const work = async (): Promise<never> => {
        count += 1;
        return await Promise.reject(unreachable);
      };
      await expect(retrier.run({ action: "x" }, work)).rejects.toMatchObject({ code: "connection_failed" });
      return count;
    };
    const { retrier } = retrierWith({ attemptsMax: 7, unreachableAttemptsMax: 2 });
    expect(await tries(retrier)).toBe(2);
    await retrier.run({ action: "x" }, async () => 1);
    expect(await tries(retrier)).toBe(7);
  });

  test("ends an attempt in which no byte moves, and one that lasts too long, though the work hears nothing", async () => {
    const { retrier } = retrierWith({ attemptsMax: 2, stallTimeoutMs: 20, attemptTimeoutMs: 60_000 });
    const never = new Promise<never>(() => undefined);
    await expect(retrier.run({ action: "could not read" }, () => never)).rejects.toMatchObject({
      code: "stalled",
      message: expect.stringContaining("could not read: no byte moved") as string,
      detail: "It was tried 2 times.",
    });
    const { retrier: limited } = retrierWith({ attemptsMax: 1, attemptTimeoutMs: 20, slowestBytesPerSecond: 1000 });
    const facts = { action: "could not write", isUpload: true };
    await expect(limited.run(facts, () => never)).rejects.toMatchObject({ code: "stalled" });
    // A larger one has more time: 20 ms and one second.
    const startedAtMs = performance.now();
    const slow = (): Promise<number> => new Promise((resolve) => setTimeout(resolve, 100, 7));
    expect(await limited.run({ ...facts, sizeBytes: 1000 }, slow)).toBe(7);
    expect(performance.now() - startedAtMs).toBeLessThan(1000);
  });

  test("is not stalled while bytes move", async () => {
    const { retrier } = retrierWith({ attemptsMax: 1, stallTimeoutMs: 60 });
    const work = async ({ alive }: { alive: () => void }): Promise<string> => {
      for (let step = 0; step < 10; step += 1) {
        await new Promise((resolve) => setTimeout(resolve, 15));
        alive();
      }
      return "done";
    };
    expect(await retrier.run({ action: "x" }, work)).toBe("done");
  });

  test("ends with the signal's reason: before, within and between attempts", async () => {
    const reason = new Error("stop");
    const { retrier } = retrierWith();
    const never = new Promise<never>(() => undefined);
    await expect(retrier.run({ action: "x", signal: AbortSignal.abort(reason) }, async () => 1)).rejects.toBe(reason);
    const within = new AbortController();
    const seen: AbortSignal[] = [];
    const running = retrier.run({ action: "x", signal: within.signal }, async ({ signal }) => {
      seen.push(signal);
      return await never;
    });
    within.abort(reason);
    await expect(running).rejects.toBe(reason);
    expect(seen[0]?.aborted).toBe(true);
    const between = new AbortController();
    const patient = new Retrier({ policy: { firstDelayMs: 60_000 } });
    const waiting = patient.run({ action: "x", signal: between.signal }, () => Promise.reject(busy()));
    setTimeout(() => between.abort(reason), 10);
    await expect(waiting).rejects.toBe(reason);
  });
});
