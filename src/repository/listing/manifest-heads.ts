// The heads of manifests (summary, and which packs they name), from the storage or a listing cache. What is read of the
// storage is authentic; what comes from the cache is what was, of an object of the same name, size and version.

import { isOperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { mapAhead } from "../context.ts";
import type { RepositoryContext } from "../context.ts";
import { manifestObjectName } from "../identifiers.ts";
import { lineageKeyOf } from "../lineages.ts";
import type { ManifestObject } from "../manifest-objects.ts";
import { decodeSummary } from "../manifest.ts";
import type { Lineage, RestorePointSummary } from "../manifest.ts";
import type { ManifestNeeds } from "../prune/survey.ts";
import { isDamage, readSummary, readSummaryAndBody } from "../restore-point.ts";
import { ByteBudget } from "./byte-budget.ts";
import type { CachedManifest } from "./cache-codec.ts";
import type { ListingCache } from "./listing-cache.ts";

/** Requests on their way at once: a storage behind a network answers many as fast as one. */
export const HEADS_AHEAD = 32;
/** Objects being opened at once, by their sizes: a manifest is larger in memory than in the storage. */
const OPEN_BYTES_MAX = 8 * MIB;
const LINEAGES_KEPT_MAX = 10_000;
/** For fewer, the cache is not worth its reading. */
const FEW = 16;

/** See the head of this file. */
export class ManifestHeads {
  readonly cache: ListingCache;
  readonly #context: RepositoryContext;
  readonly #lineageKeys = new Map<string, string>();
  readonly #budget = new ByteBudget(OPEN_BYTES_MAX);

  constructor(context: RepositoryContext, cache: ListingCache) {
    this.#context = context;
    this.cache = cache;
  }

  /** Makes ready to read the heads of so many. */
  async prepare(count: number): Promise<void> {
    if (count > FEW) await this.cache.load();
  }

  /** What is known without reading; null: nothing. */
  known(object: ManifestObject): RestorePointSummary | null {
    const known = this.cache.manifest(object);
    if (known === null) return null;
    known.summary ??= this.#decode(object, known);
    return known.summary;
  }

  /** What it is known to need without reading; null: that is not known. */
  knownNeeds(object: ManifestObject): ManifestNeeds | null {
    const packs = this.cache.manifest(object)?.packs ?? null;
    const known = packs === null ? null : this.known(object);
    return packs === null || known === null ? null : { runId: known.runId, packs: packs.table.namesOf(packs.ranges) };
  }

  /** Throws OperatingError "corrupt", "not_found". */
  async summary(object: ManifestObject, signal?: AbortSignal): Promise<RestorePointSummary> {
    const known = this.known(object);
    if (known !== null) return known;
    const summary = await readSummary(this.#context, object, signal);
    this.cache.addManifest(object, summary, null);
    return summary;
  }

  /** What a manifest needs. Throws OperatingError "corrupt", "not_found". */
  async needs(object: ManifestObject, signal?: AbortSignal): Promise<ManifestNeeds> {
    const known = this.knownNeeds(object);
    if (known !== null) return known;
    return await this.#budget.use(object.sizeBytes, async () => {
      const { body, summary } = await readSummaryAndBody(this.#context, object, signal);
      const names = body.packs.map(([name]) => name);
      this.cache.addManifest(object, summary, names);
      return { runId: summary.runId, packs: names };
    });
  }

  /**
   * Reads those of these manifests again that only the cache has told of so far. Those that are something else now, or
   * cannot be read, are forgotten; true when there were any.
   */
  async forgetChanged(objects: readonly ManifestObject[], signal?: AbortSignal): Promise<boolean> {
    let isAny = false;
    const told = objects.filter((object) => this.cache.manifest(object)?.isFresh === false);
    const checks = mapAhead(told, HEADS_AHEAD, async (object) => {
      const known = this.cache.manifest(object)!;
      const before = JSON.stringify(this.known(object));
      const now = await this.#readAgain(object, signal);
      if (now !== null)
        this.cache.addManifest(object, now, known.packs && known.packs.table.namesOf(known.packs.ranges));
      else this.cache.remove(object);
      isAny ||= JSON.stringify(now) !== before;
    });
    for await (const _ of checks);
    return isAny;
  }

  async #readAgain(object: ManifestObject, signal: AbortSignal | undefined): Promise<RestorePointSummary | null> {
    try {
      return await readSummary(this.#context, object, signal);
    } catch (error) {
      if (isOperatingError(error) && isDamage(error)) return null;
      throw error;
    }
  }

  #decode({ name }: ManifestObject, { text }: CachedManifest): RestorePointSummary | null {
    const summary = text === null ? null : decodeSummary(text);
    if (summary === null) return null;
    return manifestObjectName(this.#lineageKeyOf(summary.lineage), summary.id) === name ? summary : null;
  }

  /** Thousands are of one lineage. */
  #lineageKeyOf(lineage: Lineage): string {
    const text = JSON.stringify([lineage.name, lineage.systemIdentifier, lineage.databaseOid]);
    const known = this.#lineageKeys.get(text);
    if (known !== undefined) return known;
    const key = lineageKeyOf(this.#context.keyring, lineage);
    if (this.#lineageKeys.size < LINEAGES_KEPT_MAX) this.#lineageKeys.set(text, key);
    return key;
  }
}
