import { expect, test, vi } from "vitest";

import { OperatingError } from "../../base/errors.ts";
import type { Session } from "../../postgres/index.ts";
import { ask } from "./ask.ts";

const { signal } = new AbortController();

/** A session that answers nothing after its first `answers`, until it is destroyed. */
function silentSession(answers: readonly Promise<never>[]): { session: Session; isDestroyed: () => boolean } {
  const { promise, reject } = Promise.withResolvers<never>();
  const left = [...answers];
  let isDestroyed = false;
  const destroy = (): void => {
    isDestroyed = true;
    reject(new OperatingError("connection_lost", "it was cut on our side"));
  };
  const session = { query: () => left.shift() ?? promise, destroy, isConnected: answers.length > 0 };
  return { session: session as unknown as Session, isDestroyed: () => isDestroyed };
}

test("ask() waits no longer than its limit for a server that says nothing", async () => {
  vi.useFakeTimers();
  try {
    const { session, isDestroyed } = silentSession([]);
    const asked = ask(session, "SELECT 1", signal).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(149_000);
    expect(isDestroyed()).toBe(false);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await asked).toMatchObject({ code: "stalled", message: expect.stringMatching(/no answer/) });
  } finally {
    vi.useRealTimers();
  }
});

test("ask() gives up a ROLLBACK that is not answered, and throws what failed first", async () => {
  vi.useFakeTimers();
  try {
    const first = new Error("first");
    const { session, isDestroyed } = silentSession([Promise.reject(first)]);
    const asked = ask(session, "SELECT 1", signal).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await asked).toBe(first);
    expect(isDestroyed()).toBe(true);
  } finally {
    vi.useRealTimers();
  }
});
