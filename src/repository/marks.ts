// Marks: small objects beside a restore point that say what was found out later. Source: docs/formats/repository.md §8.
// Damage has its own kind of name, so that a backup reads only the marks that matter to it.

import { readListed } from "./context.ts";
import type { RepositoryContext } from "./context.ts";
import { isId, isPackName, makeId, MARKS_PREFIX } from "./identifiers.ts";
import type { ChunkReference } from "./lists.ts";
import type { Json } from "./manifest.ts";
import { corrupt } from "./sealing.ts";
import { openObject, sealObject } from "./sealed-object.ts";

export type MarkKind = "verify" | "damage";

/** A damaged pack, or an item of it. */
export interface Damage {
  readonly pack: string;
  /** Null: the pack as a whole. */
  readonly itemNumber: number | null;
  /** Whose data it is, for people; null when the pack as a whole. */
  readonly relation: string | null;
  readonly reason: string;
}

/** What a verify found, as it is kept. */
export interface VerifyMark {
  readonly restorePointId: string;
  readonly at: string;
  readonly chunkCount: number;
  readonly rawBytes: number;
  readonly damage: readonly Damage[];
}

/** Writes the mark of a verify. */
export async function writeVerifyMark(context: RepositoryContext, mark: VerifyMark): Promise<void> {
  const kind: MarkKind = mark.damage.length === 0 ? "verify" : "damage";
  const id = makeId(context.clock.now(), context.random);
  const name = `${MARKS_PREFIX}${mark.restorePointId}/${kind}-${id}`;
  const bytes = Buffer.from(JSON.stringify(mark satisfies Json | VerifyMark));
  const object = await sealObject(context, name, [{ kind: "mark", encoding: "zstd", bytes }]);
  await context.storage.put(name, object, { ifAbsent: true });
}

/** The marks of verifies of a restore point (or of all), oldest first for each. */
export async function* readVerifyMarks(
  context: RepositoryContext,
  filter: { readonly restorePointId?: string; readonly kind?: MarkKind },
  signal?: AbortSignal,
): AsyncGenerator<VerifyMark> {
  const prefix = filter.restorePointId === undefined ? MARKS_PREFIX : `${MARKS_PREFIX}${filter.restorePointId}/`;
  for await (const { name } of context.storage.list(prefix, signal)) {
    const [restorePointId = "", fileName = ""] = name.slice(MARKS_PREFIX.length).split("/");
    const match = /^(verify|damage)-(.+)$/.exec(fileName);
    if (match === null || !isId(restorePointId) || !isId(match[2]!)) continue;
    if (filter.kind !== undefined && filter.kind !== match[1]) continue;
    const mark = await readMark(context, name, restorePointId, signal);
    if (mark !== null) yield mark;
  }
}

async function readMark(
  context: RepositoryContext,
  name: string,
  restorePointId: string,
  signal: AbortSignal | undefined,
): Promise<VerifyMark | null> {
  const bytes = await readListed(context, name, signal);
  // Its restore point is gone, and it with it.
  if (bytes === null) return null;
  const object = openObject(context.keyring, name, bytes);
  const item = object.items[0];
  if (item?.kind !== "mark") throw corrupt(name, "it is no mark");
  const mark = parseMark(await object.load(item));
  if (mark?.restorePointId !== restorePointId) throw corrupt(name, "it is no mark of that restore point");
  return mark;
}

function parseMark(bytes: Uint8Array): VerifyMark | null {
  try {
    const mark = JSON.parse(Buffer.from(bytes).toString("utf8")) as VerifyMark;
    return Array.isArray(mark.damage) && mark.damage.every((one) => isPackName(one.pack)) ? mark : null;
  } catch {
    return null;
  }
}

/** Everything that any mark calls damaged. */
export class DamageRegister {
  readonly #packs = new Set<string>();
  readonly #items = new Set<string>();

  add(damage: Damage): void {
    if (damage.itemNumber === null) this.#packs.add(damage.pack);
    else this.#items.add(`${damage.pack}#${damage.itemNumber}`);
  }

  get packCount(): number {
    return this.#packs.size;
  }

  get itemCount(): number {
    return this.#items.size;
  }

  /** True when the pack as a whole is called damaged. */
  hasPack(pack: string): boolean {
    return this.#packs.has(pack);
  }

  hasChunk(reference: Pick<ChunkReference, "pack" | "itemNumber">): boolean {
    return this.hasPack(reference.pack) || this.#items.has(`${reference.pack}#${reference.itemNumber}`);
  }
}

/** Reads all marks of damage. A mark that cannot be read is an error: what it says must not be forgotten. */
export async function readDamage(context: RepositoryContext, signal?: AbortSignal): Promise<DamageRegister> {
  const register = new DamageRegister();
  for await (const mark of readVerifyMarks(context, { kind: "damage" }, signal)) {
    for (const damage of mark.damage) register.add(damage);
  }
  return register;
}
