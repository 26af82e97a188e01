// What was read of manifests and marks before, so that listing thousands of restore points asks the storage for their names
// alone. These objects never change: what stands under the same name, with the same size and version, is the same. Only
// what the storage lists now is ever asked for here, so nothing shows that is not there. Memory: the summaries' text,
// at most CACHE_TEXT_BYTES_MAX of it, and some ranges of numbers for the packs that each manifest names.

import type { StoredObject } from "../../storage/index.ts";
import type { ManifestObject } from "../manifest-objects.ts";
import type { RestorePointSummary } from "../manifest.ts";
import { decodeListing, encodeListing } from "./cache-codec.ts";
import type { CachedManifest, CachedMark, MarkFacts } from "./cache-codec.ts";
import type { CacheFile } from "./cache-file.ts";
import { PackTable } from "./pack-table.ts";

const VERSION_LENGTH_MAX = 128;

/** See the head of this file. */
export class ListingCache {
  readonly #file: CacheFile | null;
  readonly #manifests = new Map<string, CachedManifest>();
  readonly #marks = new Map<string, CachedMark>();
  readonly #packs = new PackTable();
  #load: Promise<void> | null = null;
  #isChanged = false;

  /** Null: it is kept in memory only. */
  constructor(file: CacheFile | null) {
    this.#file = file;
  }

  /** Reads the file, once. */
  async load(): Promise<void> {
    this.#load ??= this.#read();
    await this.#load;
  }

  manifest(object: StoredObject): CachedManifest | null {
    return ofSame(object, this.#manifests.get(object.name));
  }

  mark(object: StoredObject): MarkFacts | null {
    return ofSame(object, this.#marks.get(object.name))?.facts ?? null;
  }

  /** `packs`: null when they are not known. */
  addManifest(object: StoredObject, summary: RestorePointSummary, packs: Iterable<string> | null): CachedManifest {
    const named = packs && this.#packs.setOf(packs);
    const manifest: CachedManifest = { object, summary, text: null, packs: named, isFresh: true };
    this.#manifests.set(object.name, manifest);
    this.#isChanged = true;
    return manifest;
  }

  addMark(object: StoredObject, facts: MarkFacts): void {
    this.#marks.set(object.name, { object, facts });
    this.#isChanged = true;
  }

  /** Forgets a manifest that turned out to be something else. */
  remove(object: StoredObject): void {
    if (this.manifest(object) === null) return;
    this.#manifests.delete(object.name);
    this.#isChanged = true;
  }

  /** Writes the file when it was read and there is something new, without the manifests that are not among these, and their marks. */
  async save(manifests: readonly ManifestObject[]): Promise<void> {
    if (this.#file === null || this.#load === null || !this.#isChanged) return;
    this.#isChanged = false;
    const present = manifests.flatMap((object) => this.manifest(object) ?? []);
    const ids = new Set(manifests.map(({ id }) => id));
    const marks = [...this.#marks.values()].filter(({ object: { name } }) => ids.has(name.split("/")[1] ?? ""));
    await this.#file.save(encodeListing({ manifests: present, marks }));
  }

  async #read(): Promise<void> {
    const text = (await this.#file?.load()) ?? null;
    const listing = text === null ? null : decodeListing(text);
    for (const manifest of listing?.manifests ?? []) {
      const { name } = manifest.object;
      if (!this.#manifests.has(name)) this.#manifests.set(name, manifest);
    }
    for (const mark of listing?.marks ?? []) this.#marks.set(mark.object.name, mark);
  }
}

/** What is known of an object by its name; null when it is of another one, by size or version. */
function ofSame<T extends { readonly object: StoredObject }>(object: StoredObject, known: T | undefined): T | null {
  if (known === undefined || known.object.sizeBytes !== object.sizeBytes) return null;
  return versionOf(known.object) === versionOf(object) ? known : null;
}

function versionOf({ version = "" }: StoredObject): string {
  return version.length <= VERSION_LENGTH_MAX ? version : "";
}
