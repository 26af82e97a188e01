import { describe, expect, test, vi } from "vitest";
import { InterruptedError } from "./interrupted-error.ts";
import { listenForSignals, untilCleanedUp } from "./signals.ts";

describe("listenForSignals()", () => {
  test("the first signal cancels, a second one ends at once", () => {
    const [onFirst, endAtOnce] = [vi.fn<() => void>(), vi.fn<(status: number) => void>()];
    const interruption = listenForSignals(onFirst, endAtOnce);
    process.emit("SIGTERM", "SIGTERM");
    expect(interruption.signal.reason).toMatchObject({ exitStatus: 143, message: "interrupted by SIGTERM" });
    expect([onFirst.mock.calls.length, endAtOnce.mock.calls.length]).toEqual([1, 0]);
    interruption.interrupt();
    expect(endAtOnce).toHaveBeenCalledWith(130);
    interruption.stopListening();
    expect(process.listenerCount("SIGHUP")).toBe(0);
  });
});

describe("untilCleanedUp()", () => {
  const reason = new InterruptedError("SIGINT");

  test("gives the outcome of a run that nobody cancels", async () => {
    const { signal } = new AbortController();
    expect(await untilCleanedUp(Promise.resolve(1), signal, 10)).toBe(1);
    await expect(untilCleanedUp(Promise.reject(new TypeError("x")), signal, 10)).rejects.toThrow(TypeError);
  });

  test("gives the outcome of a run that was done all the same", async () => {
    const controller = new AbortController();
    controller.abort(reason);
    expect(await untilCleanedUp(Promise.resolve(1), controller.signal, 1000)).toBe(1);
  });

  test("throws the reason when the run ends, and after the limit when it does not", async () => {
    const controller = new AbortController();
    const { promise, reject } = Promise.withResolvers<never>();
    const ending = untilCleanedUp(promise, controller.signal, 60_000);
    controller.abort(reason);
    reject(new Error("connection lost"));
    await expect(ending).rejects.toBe(reason);
    const never = Promise.withResolvers<never>().promise;
    await expect(untilCleanedUp(never, controller.signal, 5)).rejects.toBe(reason);
  });
});
