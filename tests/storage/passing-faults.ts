// What the drivers' tests behind a bad network have in common: retries without long pauses, noted, and calls that one passing
// fault meets, and writes of which no answer comes.

import { expect } from "vitest";
import { MIB } from "../../src/base/units.ts";
import type { Retry, Storage, StorageSurroundings } from "../../src/storage/index.ts";
import type { FaultProxy, PlannedFault } from "./fault-proxy.ts";

/** For tests of silence; the others wait longer, so that a busy machine is not taken for a silent server. */
export const SHORT_STALL_MS = 400;
export const STALL_MS = 20_000;

/** Settings of a retrier that tries five times at once, and notes each retry in the list. */
export function notedRetries(
  retries: Retry[],
  stallTimeoutMs: number = STALL_MS,
): NonNullable<StorageSurroundings["retries"]> {
  return {
    policy: { firstDelayMs: 1, delayMsMax: 5, stallTimeoutMs, attemptsMax: 5 },
    onRetry: (retry) => retries.push(retry),
  };
}

/** Does work whose first request of that method meets the fault: it must succeed, and count one request sent again. */
export async function meetingOnce(
  { fault, proxy, storage }: { storage: Storage; proxy: FaultProxy; fault: (method: string) => PlannedFault },
  method: string,
  work: () => Promise<unknown>,
): Promise<void> {
  const before = storage.retryCount ?? 0;
  const planned = fault(method);
  proxy.plan(planned);
  await work();
  const count = (storage.retryCount ?? 0) - before;
  // On a busy machine the next answer may come late as well.
  const sentAgain = planned.kind === "deaf" ? Math.min(count, 1) : count;
  expect({ method, unmet: proxy.unmet(), sentAgain }).toEqual({ method, unmet: 0, sentAgain: 1 });
}

/** A storage and the proxy before it. */
interface FaultyPlace {
  readonly storage: Storage;
  readonly proxy: FaultProxy;
}

/**
 * Replaces an object by way of requests of that kind, of which none arrives, and then of which no answer does: the call fails,
 * and one of the two objects stands there, whole.
 */
export async function replacingInVain(
  { proxy, storage }: FaultyPlace,
  requests: { readonly method: string; readonly url?: string; readonly before?: readonly PlannedFault[] },
  write: (name: string, bytes: Uint8Array) => Promise<unknown>,
): Promise<void> {
  const [old, replacing] = [Buffer.from("old"), Buffer.alloc(9 * MIB, "new")];
  for (const [kind, expected] of [
    ["reset", old],
    ["lose-answer", replacing],
  ] as const) {
    proxy.plan();
    await storage.put("replaced", old);
    const { before: passing = [], ...matching } = requests;
    proxy.plan(...passing, { kind, ...matching, times: 99 });
    await expect(write("replaced", replacing)).rejects.toMatchObject({ code: "storage_failed" });
    proxy.plan();
    const isExpected = Buffer.compare(await storage.read("replaced"), expected) === 0;
    expect({ kind, isExpected }).toEqual({ kind, isExpected: true });
  }
}
