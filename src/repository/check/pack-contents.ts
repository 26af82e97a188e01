// What packs hold by their own contents, which are authentic. Memory: contents of at most ITEMS_KEPT_MAX items.

import { isOperatingError, messageOf } from "../../base/errors.ts";
import type { RepositoryContext } from "../context.ts";
import { packObjectName } from "../identifiers.ts";
import { isDamage } from "../restore-point.ts";
import { readContents } from "../sealed-object.ts";
import type { ItemEntry } from "../sealed-object.ts";
import type { ObjectCipher } from "../sealing.ts";

const ITEMS_KEPT_MAX = 10_000;

/** The contents of a pack, or why they cannot be read. */
export type PackContents =
  | { readonly isReadable: true; readonly cipher: ObjectCipher; readonly items: readonly ItemEntry[] }
  | { readonly isReadable: false; readonly reason: string };

/** Reads contents, and keeps those that were asked for last. Calls must not overlap. */
export class PackContentsReader {
  readonly #context: RepositoryContext;
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #kept = new Map<string, PackContents>();
  #keptItems = 0;

  /** `sizes`: of the packs that are there. */
  constructor(context: RepositoryContext, sizes: ReadonlyMap<string, number>) {
    this.#context = context;
    this.#sizes = sizes;
  }

  async read(pack: string, signal?: AbortSignal): Promise<PackContents> {
    const known = this.#kept.get(pack);
    if (known !== undefined) this.#kept.delete(pack);
    const contents = known ?? (await this.#load(pack, signal));
    this.#kept.set(pack, contents);
    if (known === undefined) this.#keptItems += itemCount(contents);
    for (const [name, oldest] of this.#kept) {
      if (this.#keptItems <= ITEMS_KEPT_MAX || name === pack) break;
      this.#kept.delete(name);
      this.#keptItems -= itemCount(oldest);
    }
    return contents;
  }

  async #load(pack: string, signal: AbortSignal | undefined): Promise<PackContents> {
    const sizeBytes = this.#sizes.get(pack);
    if (sizeBytes === undefined) return { isReadable: false, reason: "it is missing" };
    try {
      const object = { name: packObjectName(pack), sizeBytes };
      return {
        isReadable: true,
        ...(await readContents(this.#context.storage, this.#context.keyring, object, signal)),
      };
    } catch (error) {
      if (!isDamage(error)) throw error;
      return { isReadable: false, reason: isOperatingError(error, "not_found") ? "it is missing" : messageOf(error) };
    }
  }
}

/** At least 1, so that unreadable packs do not pile up either. */
function itemCount(contents: PackContents): number {
  return contents.isReadable ? contents.items.length + 1 : 1;
}
