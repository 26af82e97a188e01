// A storage that lists what an overview of a repository asks for before it is asked: while the passphrase becomes a key.
// It begins when something was read, so where a repository is, and keeps the order of a survey (prune/survey.ts): packs, then
// runs, then manifests; these only when there are no runs, whose records must be read before manifests are listed. Each list
// is given out once, and only while it is fresh. Memory: AHEAD_MAX objects of each list.

import { ForwardingStorage } from "../../storage/index.ts";
import type { ByteRange, StoredObject } from "../../storage/index.ts";
import { BACKUPS_PREFIX, MARKS_PREFIX, PACKS_PREFIX, RUNS_PREFIX } from "../identifiers.ts";

const AHEAD_MAX = 100_000;
/** Somebody may be asked for a passphrase meanwhile: what waited longer is listed again. */
const FRESH_MS = 10_000;

/** A list as far as it was read. */
interface AheadList {
  readonly objects: readonly StoredObject[];
  /** Null: that was all. */
  readonly rest: AsyncIterator<StoredObject> | null;
  readonly readAtMs: number;
}

/** See the head of this file. */
export class ListsAhead extends ForwardingStorage {
  readonly #end = new AbortController();
  #lists: Map<string, Promise<AheadList | null>> | null = null;

  override async read(name: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = await this.inner.read(name, range, signal);
    this.#begin();
    return bytes;
  }

  override async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    const coming = this.#lists?.get(prefix);
    this.#lists?.delete(prefix);
    const list = coming === undefined ? null : await this.#unlessAborted(coming, signal);
    if (list === null || performance.now() - list.readAtMs > FRESH_MS) {
      yield* this.inner.list(prefix, signal);
      return;
    }
    yield* list.objects;
    if (list.rest === null) return;
    for (let next = await list.rest.next(); next.done !== true; next = await list.rest.next()) {
      signal?.throwIfAborted();
      yield next.value;
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await super[Symbol.asyncDispose]();
  }

  #begin(): void {
    if (this.#lists !== null) return;
    const packs = this.#readAhead(PACKS_PREFIX);
    const runs = packs.then(async ({ rest }) => (rest === null ? await this.#readAhead(RUNS_PREFIX) : null));
    const manifests = runs.then(async (list) => {
      return list === null || list.objects.length > 0 ? null : await this.#readAhead(BACKUPS_PREFIX);
    });
    this.#lists = new Map<string, Promise<AheadList | null>>([
      [PACKS_PREFIX, packs],
      [RUNS_PREFIX, runs],
      [BACKUPS_PREFIX, manifests],
      [MARKS_PREFIX, this.#readAhead(MARKS_PREFIX)],
    ]);
    // A failure shows when its list is asked for.
    for (const list of this.#lists.values()) list.catch(() => undefined);
  }

  async #readAhead(prefix: string): Promise<AheadList> {
    const iterator = this.inner.list(prefix, this.#end.signal)[Symbol.asyncIterator]();
    const objects: StoredObject[] = [];
    let isAll = false;
    while (!isAll && objects.length < AHEAD_MAX) {
      const next = await iterator.next();
      if (next.done === true) isAll = true;
      else objects.push(next.value);
    }
    return { objects, rest: isAll ? null : iterator, readAtMs: performance.now() };
  }

  /** Whoever is no longer waiting ends all lists. */
  async #unlessAborted<T>(coming: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    signal?.throwIfAborted();
    const onAbort = (): void => this.#end.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await coming;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }
}
