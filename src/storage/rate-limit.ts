// A cap on bytes per second, shared by all who take from it. Whoever comes waits until what was taken before him is
// paid off, then goes on at once: exact on average over seconds, not within one request.

import { setTimeout as delay } from "node:timers/promises";

/** Time, so that tests can give their own. */
export interface RateClock {
  nowMs(): number;
  sleep(delayMs: number, signal: AbortSignal | undefined): Promise<void>;
}

const systemClock: RateClock = {
  nowMs: () => performance.now(),
  async sleep(delayMs, signal) {
    await delay(delayMs, undefined, signal && { signal }).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw error;
    });
  },
};

/** See the head of this file. */
export class RateLimit {
  readonly #bytesPerSecond: number;
  readonly #clock: RateClock;
  #paidUntilMs = 0;

  constructor(bytesPerSecond: number, clock: RateClock = systemClock) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#clock = clock;
  }

  /** Resolves when so many bytes may go. */
  async take(count: number, signal?: AbortSignal): Promise<void> {
    const nowMs = this.#clock.nowMs();
    const startMs = Math.max(nowMs, this.#paidUntilMs);
    this.#paidUntilMs = startMs + (count / this.#bytesPerSecond) * 1000;
    if (startMs > nowMs) await this.#clock.sleep(startMs - nowMs, signal);
  }
}
