// What every part of an open repository works with, and a few bounded ways to do many things at a time.

import { isOperatingError } from "../base/errors.ts";
import type { Clock, Random } from "./environment.ts";
import type { Keyring } from "./keys.ts";
import type { CountingStorage } from "./transfer.ts";

export interface RepositoryContext {
  readonly storage: CountingStorage;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly random: Random;
  readonly packSizeBytes: number;
  /** The repository requires of its readers that they know delta chunks. */
  readonly takesDeltas: boolean;
}

/** The bytes of an object that was listed; null when it was removed meanwhile. */
export async function readListed(
  context: RepositoryContext,
  name: string,
  signal?: AbortSignal,
): Promise<Uint8Array | null> {
  try {
    return await context.storage.read(name, undefined, signal);
  } catch (error) {
    if (isOperatingError(error, "not_found")) return null;
    throw error;
  }
}

/** Maps items in order with at most `concurrency` calls under way. After a failure no new call begins. */
export async function* mapAhead<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  concurrency: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const underWay: Promise<R>[] = [];
  try {
    for await (const item of items) {
      const result = work(item);
      // A rejection is seen when its turn comes; until then it must not count as unhandled.
      result.catch(() => undefined);
      underWay.push(result);
      if (underWay.length >= concurrency) yield await underWay.shift()!;
    }
    while (underWay.length > 0) yield await underWay.shift()!;
  } finally {
    await Promise.allSettled(underWay);
  }
}

/** Keeps the results of at most `sizeMax` keys; the least recently used goes first. Failures are not kept. */
export class RecentResults<K, V> {
  readonly #sizeMax: number;
  readonly #results = new Map<K, Promise<V>>();

  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }

  get(key: K, make: () => Promise<V>): Promise<V> {
    const known = this.#results.get(key);
    const result = known ?? make();
    if (known === undefined) result.catch(() => this.#results.delete(key));
    this.#results.delete(key);
    this.#results.set(key, result);
    if (this.#results.size > this.#sizeMax) this.#results.delete(this.#results.keys().next().value!);
    return result;
  }
}
