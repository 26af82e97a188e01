import { expect, test, vi } from "vitest";

import { OperatingError } from "../../base/errors.ts";
import type { Session } from "../../postgres/index.ts";
import { ask } from "./ask.ts";

test("ask() waits no longer than its limit for a server that says nothing", async () => {
  vi.useFakeTimers();
  try {
    const { promise, reject } = Promise.withResolvers<never>();
    const destroy = vi.fn(() => reject(new OperatingError("connection_lost", "it was cut on our side")));
    const session = { query: () => promise, destroy, isConnected: false } as unknown as Session;
    const asked = ask(session, "SELECT 1", new AbortController().signal);
    const failed = expect(asked).rejects.toMatchObject({
      code: "stalled",
      message: expect.stringMatching(/no answer/),
    });
    await vi.advanceTimersByTimeAsync(149_000);
    expect(destroy).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1_000);
    await failed;
    expect(destroy).toHaveBeenCalledOnce();
  } finally {
    vi.useRealTimers();
  }
});

test("ask() gives up a ROLLBACK that is not answered, and throws what failed first", async () => {
  vi.useFakeTimers();
  try {
    const { promise, reject } = Promise.withResolvers<never>();
    const destroy = vi.fn(() => reject(new OperatingError("connection_lost", "it was cut on our side")));
    const query = vi.fn().mockRejectedValueOnce(new Error("first")).mockReturnValueOnce(promise);
    const session = { query, destroy, isConnected: true } as unknown as Session;
    const failed = expect(ask(session, "SELECT 1", new AbortController().signal)).rejects.toThrow("first");
    await vi.advanceTimersByTimeAsync(5_000);
    await failed;
    expect(destroy).toHaveBeenCalledOnce();
  } finally {
    vi.useRealTimers();
  }
});
