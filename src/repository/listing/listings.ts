// What a repository lists: restore points, lineages, marks, left-overs. With a listing cache, only what is new is read;
// without one, everything, many objects at a time.

import { isOperatingError } from "../../base/errors.ts";
import type { OperatingError } from "../../base/errors.ts";
import { mapAhead } from "../context.ts";
import type { RepositoryContext } from "../context.ts";
import { findLeftovers } from "../leftovers.ts";
import type { Leftovers } from "../leftovers.ts";
import { labelLineages } from "../lineages.ts";
import type { LineageFacts } from "../lineages.ts";
import { listManifests } from "../manifest-objects.ts";
import type { ManifestObject } from "../manifest-objects.ts";
import type { RestorePointSummary } from "../manifest.ts";
import { isDamage } from "../restore-point.ts";
import type { RunObserver } from "../run-record.ts";
import { CacheFile } from "./cache-file.ts";
import { ListingCache } from "./listing-cache.ts";
import { HEADS_AHEAD, ManifestHeads } from "./manifest-heads.ts";
import { readRestorePointMarks } from "./restore-point-marks.ts";
import type { RestorePointMarks } from "./restore-point-marks.ts";

export interface ListOptions {
  /** Only lineages of this name. */
  readonly lineageName?: string;
  readonly signal?: AbortSignal;
  /** Called for each manifest that cannot be read; without it, the first one is thrown. */
  readonly onDamage?: (objectName: string, error: OperatingError) => void;
}

/** What a repository holds. */
export interface Overview {
  readonly leftovers: Leftovers;
  readonly restorePoints: readonly RestorePointSummary[];
}

/** See the head of this file. */
export class Listings {
  readonly heads: ManifestHeads;
  readonly #context: RepositoryContext;
  #listed: readonly ManifestObject[] = [];

  /** `cacheFolder`: null for none. */
  constructor(context: RepositoryContext, cacheFolder: string | null) {
    const { keyring, storage } = context;
    const file = cacheFolder === null ? null : new CacheFile(cacheFolder, keyring, storage.description);
    this.#context = context;
    this.heads = new ManifestHeads(context, new ListingCache(file));
  }

  /** All manifests that are there now. */
  async manifests(signal?: AbortSignal): Promise<readonly ManifestObject[]> {
    this.#listed = await listManifests(this.#context, signal);
    return this.#listed;
  }

  /** Keeps what was read for the next process, where there is a cache. Never throws. */
  async save(): Promise<void> {
    await this.heads.cache.save(this.#listed);
  }

  /** Left-overs and restore points, newest first, by one listing. */
  async overview(observer: RunObserver, options: ListOptions): Promise<Overview> {
    const leftovers = await this.leftovers(observer, options.signal);
    return { leftovers, restorePoints: await this.#summaries(this.#listed, options) };
  }

  /** Restore points, newest first. */
  async restorePoints(options: ListOptions): Promise<readonly RestorePointSummary[]> {
    return await this.#summaries(await this.manifests(options.signal), options);
  }

  async #summaries(listed: readonly ManifestObject[], options: ListOptions): Promise<readonly RestorePointSummary[]> {
    const objects = newestFirst(listed);
    await this.heads.prepare(objects.length);
    const summaries: RestorePointSummary[] = [];
    const unknown = objects.filter((object) => this.heads.known(object) === null);
    const read = new Map<string, RestorePointSummary | null>();
    const reads = mapAhead(unknown, HEADS_AHEAD, async (object) => {
      read.set(object.name, await this.summary(object, options));
    });
    for await (const _ of reads);
    for (const object of objects) {
      const summary = read.get(object.name) ?? this.heads.known(object);
      if (summary === null) continue;
      if (options.lineageName === undefined || summary.lineage.name === options.lineageName) summaries.push(summary);
    }
    return summaries;
  }

  /** Lineages in the order of their labels, each as its newest readable restore point tells it. */
  async lineages(options: Omit<ListOptions, "lineageName">): Promise<readonly LineageFacts[]> {
    const folders = Map.groupBy(await this.manifests(options.signal), (object) => object.lineageKey);
    await this.heads.prepare(folders.size);
    const reads = mapAhead(folders, HEADS_AHEAD, async ([key, objects]) => {
      const sorted = newestFirst(objects);
      for (const object of sorted) {
        const summary = await this.summary(object, options);
        if (summary === null) continue;
        return { ...summary.lineage, key, restorePointCount: objects.length, newestId: sorted[0]!.id };
      }
      return null;
    });
    const found: Omit<LineageFacts, "label">[] = [];
    for await (const lineage of reads) if (lineage !== null) found.push(lineage);
    return labelLineages(found).toSorted((one, other) => (one.label < other.label ? -1 : 1));
  }

  /** The summary of a manifest; null when it is gone, or damaged and told so. */
  async summary(
    object: ManifestObject,
    options: Omit<ListOptions, "lineageName">,
  ): Promise<RestorePointSummary | null> {
    try {
      return await this.heads.summary(object, options.signal);
    } catch (error) {
      // An expire removed it since it was listed.
      if (isOperatingError(error, "not_found")) return null;
      if (options.onDamage === undefined || !isOperatingError(error) || !isDamage(error)) throw error;
      options.onDamage(object.name, error);
      return null;
    }
  }

  /** What marks say of restore points; those that have none are not in it. */
  async marks(ids: readonly string[], signal?: AbortSignal): Promise<ReadonlyMap<string, RestorePointMarks>> {
    await this.heads.prepare(ids.length);
    let objects: ReadonlyMap<string, ManifestObject> | null = null;
    const copiedAt = async (id: string): Promise<string | null> => {
      objects ??= new Map((await this.#listedWith(ids, signal)).map((object) => [object.id, object]));
      const object = objects.get(id);
      const options = { onDamage: () => undefined, ...(signal && { signal }) };
      return (object && (await this.summary(object, options))?.copiedFrom?.at) ?? null;
    };
    return await readRestorePointMarks(this.#context, this.heads.cache, { ids, copiedAt }, signal);
  }

  /** The manifests that were listed last, listed again when these are not all among them. */
  async #listedWith(ids: readonly string[], signal?: AbortSignal): Promise<readonly ManifestObject[]> {
    const listed = new Set(this.#listed.map(({ id }) => id));
    return ids.every((id) => listed.has(id)) ? this.#listed : await this.manifests(signal);
  }

  /** What dead runs left behind. */
  async leftovers(observer: RunObserver, signal?: AbortSignal): Promise<Leftovers> {
    await this.heads.cache.load();
    return await findLeftovers(this.#context, observer, signal, {
      ahead: HEADS_AHEAD,
      list: async () => await this.manifests(signal),
      known: (object) => this.heads.knownNeeds(object),
      read: async (object) => await this.heads.needs(object, signal),
    });
  }
}

/** Newest first. */
function newestFirst(objects: readonly ManifestObject[]): ManifestObject[] {
  return objects.toSorted((one, other) => (one.id < other.id ? 1 : -1));
}
