// The restore point that a lineage's next backup is compared with: its newest. It may be read ahead, while the backup still
// waits for something else; whether it is the newest is asked again when it is wanted.

import { refuseUnknownKey } from "./changed-keys.ts";
import type { RepositoryContext } from "./context.ts";
import type { Listings } from "./listing/listings.ts";
import { lineageKeyOf } from "./lineages.ts";
import type { ManifestObject } from "./manifest-objects.ts";
import type { Lineage } from "./manifest.ts";
import { isDamage, type RestorePoint } from "./restore-point.ts";

/** The lineage that a database's next backup continues or begins. */
export interface ContinuedLineage {
  /** Its newest restore point, to compare with; null when there is none, and when it is damaged. */
  readonly parent: RestorePoint | null;
  /** Sentences for the user: the name was another database's before. */
  readonly warnings: readonly string[];
}

interface Foreseen {
  readonly object: ManifestObject;
  readonly parent: RestorePoint;
}

/** What is being read ahead. */
interface Foreseeing {
  /** Of the lineage. */
  readonly key: string;
  /** Null: there is none, or it could not be opened. */
  readonly result: Promise<Foreseen | null>;
}

type OpenManifest = (object: ManifestObject, signal: AbortSignal | undefined) => Promise<RestorePoint>;

/** See Repository.continueLineage() and foreseeLineage(). */
export class LineageParents {
  readonly #context: RepositoryContext;
  readonly #listings: Listings;
  readonly #open: OpenManifest;
  #foreseeing: Foreseeing | null = null;

  constructor(context: RepositoryContext, listings: Listings, open: OpenManifest) {
    this.#context = context;
    this.#listings = listings;
    this.#open = open;
  }

  async foresee(lineage: Lineage, signal: AbortSignal | undefined): Promise<void> {
    const key = lineageKeyOf(this.#context.keyring, lineage);
    const result = this.#readAhead(key, signal);
    this.#foreseeing = { key, result };
    await result;
  }

  async continueLineage(lineage: Lineage, signal: AbortSignal | undefined): Promise<ContinuedLineage> {
    const key = lineageKeyOf(this.#context.keyring, lineage);
    const foreseeing = this.#foreseeing;
    this.#foreseeing = null;
    // What failed there would fail here, after as long: it is not tried twice.
    const [newest, foreseen] = await Promise.all([
      this.#newestOf(key, signal),
      foreseeing?.key === key ? foreseeing.result : null,
    ]);
    if (newest !== undefined) {
      const isForeseen = foreseen?.object.name === newest.name && foreseen.object.version === newest.version;
      return { parent: isForeseen ? foreseen.parent : await this.#openParent(newest, signal), warnings: [] };
    }
    const options = { onDamage: () => undefined, ...(signal && { signal }) };
    const others = (await this.#listings.lineages(options)).filter((one) => one.name === lineage.name);
    const warnings = others.map((other) => {
      return (
        `the lineage "${lineage.name}" was of another database before (${other.databaseName}, oid ${other.databaseOid}, ` +
        `system identifier ${other.systemIdentifier}); a new lineage of the same name begins`
      );
    });
    return { parent: null, warnings };
  }

  async #readAhead(key: string, signal: AbortSignal | undefined): Promise<Foreseen | null> {
    const object = await this.#newestOf(key, signal);
    const parent = object === undefined ? null : await this.#openParent(object, signal);
    return object === undefined || parent === null ? null : { object, parent };
  }

  async #newestOf(key: string, signal: AbortSignal | undefined): Promise<ManifestObject | undefined> {
    const objects = await this.#listings.manifests(signal);
    const own = objects.filter((object) => object.lineageKey === key);
    return own.toSorted((one, other) => (one.id < other.id ? -1 : 1)).at(-1);
  }

  async #openParent(object: ManifestObject, signal: AbortSignal | undefined): Promise<RestorePoint | null> {
    try {
      return await this.#open(object, signal);
    } catch (error) {
      refuseUnknownKey(error);
      // A damaged parent costs deduplication, not the backup.
      if (isDamage(error)) return null;
      throw error;
    }
  }
}
