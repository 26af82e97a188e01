// Sends requests again where that can help and does no harm, for drivers of storages behind a network. Each request of
// a driver goes through run(): counted, spaced by doubling delays with jitter, each attempt with a time limit.
// What may be sent again is the driver's word: an OperatingError that is `retryable`. Randomness and waiting are handed in.

import { setTimeout as delay } from "node:timers/promises";
import { isOperatingError, OperatingError } from "../base/errors.ts";
import { KIB } from "../base/units.ts";

/** How often, how far apart, how long. */
export interface RetryPolicy {
  readonly attemptsMax: number;
  /** While nothing was ever answered, a server that cannot be reached is more likely a wrong address. */
  readonly unreachableAttemptsMax: number;
  readonly firstDelayMs: number;
  readonly delayMsMax: number;
  /** An attempt in which no byte moves for so long is given up. */
  readonly stallTimeoutMs: number;
  /** An attempt's time limit: this, and a second for each `slowestBytesPerSecond` that it moves. */
  readonly attemptTimeoutMs: number;
  readonly slowestBytesPerSecond: number;
}

export const RETRY_POLICY_DEFAULT: RetryPolicy = {
  attemptsMax: 10,
  unreachableAttemptsMax: 3,
  firstDelayMs: 200,
  delayMsMax: 30_000,
  stallTimeoutMs: 60_000,
  attemptTimeoutMs: 60_000,
  slowestBytesPerSecond: 16 * KIB,
};

/** A request that is going to be sent again. */
export interface Retry {
  /** What failed: `could not read "packs/…": connection reset`. */
  readonly message: string;
  /** The number of the attempt that failed, from 1. */
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly delayMs: number;
}

/** What a retrier takes from outside; left out, the real ones. */
export interface RetrierSettings {
  readonly policy?: Partial<RetryPolicy>;
  /** From 0 up to 1. */
  readonly random?: () => number;
  readonly sleep?: (delayMs: number, signal: AbortSignal | undefined) => Promise<void>;
  readonly onRetry?: ((retry: Retry) => void) | undefined;
}

/** One attempt at a request. */
export interface Attempt {
  /** From 1. */
  readonly number: number;
  /** Aborted by the caller's signal and by the time limits. */
  readonly signal: AbortSignal;
  /** To be called whenever bytes move. */
  alive(): void;
}

/** What run() needs to know of a request. */
export interface RequestFacts {
  /** "could not read …": the beginning of messages. */
  readonly action: string;
  /** How much it moves, for its time limit. */
  readonly sizeBytes?: number;
  /** True: the driver cannot tell when bytes move, and watches its socket for stalls instead. */
  readonly isUpload?: boolean;
  /** The attempt's time limit, in which the server may be silent because it is at work. */
  readonly silenceMs?: number;
  /** Fewer attempts than usual, for tidying up after a failure. */
  readonly attemptsMax?: number;
  /** How long the server asked to be left alone, looked at after each failure (Retry-After). */
  readonly waitMs?: () => number;
  readonly signal?: AbortSignal | undefined;
}

/** See the head of this file. */
export class Retrier {
  readonly policy: RetryPolicy;
  readonly #random: () => number;
  readonly #sleep: (delayMs: number, signal: AbortSignal | undefined) => Promise<void>;
  readonly #onRetry: ((retry: Retry) => void) | undefined;
  #retryCount = 0;
  #hasAnswered = false;

  constructor(settings: RetrierSettings = {}) {
    this.policy = { ...RETRY_POLICY_DEFAULT, ...settings.policy };
    this.#random = settings.random ?? Math.random;
    this.#sleep = settings.sleep ?? sleep;
    this.#onRetry = settings.onRetry;
  }

  /** Requests that were sent again so far. */
  get retryCount(): number {
    return this.#retryCount;
  }

  /** Does the work, again and again where its error is retryable. Throws the last error, or the signal's reason. */
  async run<T>(facts: RequestFacts, work: (attempt: Attempt) => Promise<T>): Promise<T> {
    for (let number = 1; ; number += 1) {
      facts.signal?.throwIfAborted();
      try {
        const result = await this.#attempt(facts, number, work);
        this.#hasAnswered = true;
        return result;
      } catch (error) {
        facts.signal?.throwIfAborted();
        if (!isOperatingError(error)) throw error;
        if (error.code !== "connection_failed" && error.code !== "stalled") this.#hasAnswered = true;
        if (!error.retryable || number >= this.#attemptsMaxOf(error, facts)) throw afterAttempts(error, number);
        await this.#pause(error, number, facts);
      }
    }
  }

  #attemptsMaxOf(error: OperatingError, facts: RequestFacts): number {
    const isUnreachable = error.code === "connection_failed" && !this.#hasAnswered;
    const usual = isUnreachable ? this.policy.unreachableAttemptsMax : this.policy.attemptsMax;
    return Math.min(usual, facts.attemptsMax ?? usual);
  }

  async #pause(error: OperatingError, number: number, facts: RequestFacts): Promise<void> {
    const { delayMsMax, firstDelayMs } = this.policy;
    const longestMs = Math.min(delayMsMax, firstDelayMs * 2 ** (number - 1));
    // Half of it is jitter: many that failed together must not come back together.
    const jitteredMs = Math.round(longestMs * (0.5 + this.#random() / 2));
    const delayMs = Math.max(jitteredMs, Math.ceil(facts.waitMs?.() ?? 0));
    this.#retryCount += 1;
    const attemptsMax = this.#attemptsMaxOf(error, facts);
    this.#onRetry?.({ message: error.message, attempt: number, attemptsMax, delayMs });
    await this.#sleep(delayMs, facts.signal);
  }

  async #attempt<T>(facts: RequestFacts, number: number, work: (attempt: Attempt) => Promise<T>): Promise<T> {
    const { attemptTimeoutMs, slowestBytesPerSecond, stallTimeoutMs } = this.policy;
    const controller = new AbortController();
    const give = (): void => controller.abort(facts.signal?.reason);
    facts.signal?.addEventListener("abort", give, { once: true });
    const giveUp = (reason: string): void => {
      controller.abort(new OperatingError("stalled", `${facts.action}: ${reason}`, { retryable: true }));
    };
    const limitMs = facts.silenceMs ?? attemptTimeoutMs + ((facts.sizeBytes ?? 0) / slowestBytesPerSecond) * 1000;
    const limit = setTimeout(() => giveUp(`not done after ${Math.round(limitMs / 1000)} s`), limitMs);
    const stall = setTimeout(() => giveUp(`no byte moved for ${Math.round(stallTimeoutMs / 1000)} s`), stallTimeoutMs);
    if (facts.isUpload === true || facts.silenceMs !== undefined) clearTimeout(stall);
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    controller.signal.addEventListener("abort", () => reject(controller.signal.reason), { once: true });
    aborted.catch(() => undefined);
    try {
      // Raced: work that does not hear its signal must not keep the caller waiting.
      return await Promise.race([work({ number, signal: controller.signal, alive: () => stall.refresh() }), aborted]);
    } catch (error) {
      if (controller.signal.aborted && facts.signal?.aborted !== true) throw controller.signal.reason;
      throw error;
    } finally {
      clearTimeout(limit);
      clearTimeout(stall);
      facts.signal?.removeEventListener("abort", give);
    }
  }
}

/** Says in the error that it was tried more than once. */
function afterAttempts(error: OperatingError, attempts: number): OperatingError {
  if (attempts === 1) return error;
  const { code, detail, hint, message, retryable } = error;
  const tried = `It was tried ${attempts} times.`;
  return new OperatingError(code, message, {
    detail: detail === undefined ? tried : `${detail} ${tried}`,
    hint,
    retryable,
    cause: error,
  });
}

async function sleep(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(delayMs, undefined, signal && { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
