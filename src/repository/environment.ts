// What the repository takes from outside besides the storage: time and randomness, so that tests can give their own.

import { randomBytes } from "node:crypto";

/** Time: the wall clock for what people read, the monotonic one for waiting and judging. */
export interface Clock {
  now(): Date;
  /** Milliseconds since some fixed moment of this process; never goes back. */
  monotonicMs(): number;
}

/** `count` random bytes. */
export type Random = (count: number) => Uint8Array;

export const systemClock: Clock = { now: () => new Date(), monotonicMs: () => performance.now() };

export const systemRandom: Random = (count) => randomBytes(count);
