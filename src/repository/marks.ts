// Marks: small objects beside a restore point that say what was found out later. Source: docs/formats/repository.md §8.
// Damage has its own kind of name, so that a backup reads only the marks that matter to it.

import { isOperatingError } from "../base/errors.ts";
import { readListed } from "./context.ts";
import type { RepositoryContext } from "./context.ts";
import { isId, isPackName, makeId, MARKS_PREFIX, timeOfId } from "./identifiers.ts";
import type { ChunkReference } from "./lists.ts";
import type { Json } from "./manifest.ts";
import { MOVES_MAX, readMoved } from "./moved.ts";
import type { MovedItems } from "./moved.ts";
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

/** A mark as it is found again. */
export interface KeptVerifyMark extends VerifyMark {
  /** Of the mark: the marks of a restore point sort by it in the order in which they were made. */
  readonly id: string;
  /** False for a mark of damage, also one that names no pack: the manifest itself is damaged. */
  readonly isWhole: boolean;
}

/** An id for a new mark: after those of all marks of the restore point, whatever the clocks of their writers said. */
export async function makeMarkId(context: RepositoryContext, restorePointId: string): Promise<string> {
  let newest: string | null = null;
  for await (const { name } of context.storage.list(`${MARKS_PREFIX}${restorePointId}/`)) {
    const id = /-(\d{8}T[^/]*)$/.exec(name)?.[1] ?? "";
    if (isId(id) && (newest === null || id > newest)) newest = id;
  }
  return makeId(context.clock.now(), context.random, newest);
}

/** Kinds of marks that say something good of a restore point. */
const GOOD_KINDS: ReadonlySet<string> = new Set(["verify", "drill", "drill-partial"]);

/**
 * True for a mark that says something good of an earlier copy of the restore point, which was expired before this one was
 * made under the same id; `copiedAt` of its summary's `copiedFrom`, if any. Told by the time in the mark's id, to the second.
 */
export function isOfEarlierCopy(kind: string, markId: string, copiedAt: string | null | undefined): boolean {
  if (copiedAt === null || copiedAt === undefined || !GOOD_KINDS.has(kind)) return false;
  return timeOfId(markId).getTime() < Math.floor(Date.parse(copiedAt) / 1000) * 1000;
}

/** Writes the mark of a verify. Damage may be empty in one of damage: nothing of the restore point could be read. */
export async function writeVerifyMark(context: RepositoryContext, kind: MarkKind, mark: VerifyMark): Promise<void> {
  const id = await makeMarkId(context, mark.restorePointId);
  const name = `${MARKS_PREFIX}${mark.restorePointId}/${kind}-${id}`;
  const damage = await withLaterPlaces(context, mark.damage);
  const bytes = Buffer.from(JSON.stringify({ ...mark, damage } satisfies Json | VerifyMark));
  const object = await sealObject(context, name, [{ kind: "mark", encoding: "zstd", bytes }]);
  await context.storage.put(name, object, { ifAbsent: true });
}

/** Writes the mark of a verify; false when the storage may only be read: rights to read are enough to verify. */
export async function markWhereAllowed(context: RepositoryContext, kind: MarkKind, mark: VerifyMark): Promise<boolean> {
  try {
    await writeVerifyMark(context, kind, mark);
    return true;
  } catch (error) {
    if (isOperatingError(error, "permission_denied")) return false;
    throw error;
  }
}

/** The same, and the places where repacked items went: later restore points name only these. */
async function withLaterPlaces(context: RepositoryContext, damage: readonly Damage[]): Promise<readonly Damage[]> {
  const keyOf = ({ itemNumber, pack, relation }: Damage): string => JSON.stringify([pack, itemNumber, relation]);
  const all = new Map(damage.map((one) => [keyOf(one), one]));
  let level = damage;
  for (let moves = 0; level.length > 0 && moves <= MOVES_MAX; moves += 1) {
    const next = new Map<string, Damage>();
    for (const [pack, ofPack] of Map.groupBy(level, (one) => one.pack)) {
      const moved = await readableMoved(context, pack);
      for (const one of moved === null ? [] : ofPack.flatMap((found) => placesAfter(moved, found))) {
        if (!all.has(keyOf(one))) next.set(keyOf(one), one);
      }
    }
    for (const [key, one] of next) all.set(key, one);
    level = [...next.values()];
  }
  return [...all.values()];
}

function placesAfter(moved: MovedItems, damage: Damage): readonly Damage[] {
  if (damage.itemNumber === null) return moved.packs.map(([pack]) => ({ ...damage, pack }));
  const place = moved.find(damage.itemNumber);
  return place === null ? [] : [{ ...damage, pack: place.pack, itemNumber: place.itemNumber }];
}

/** Null where nothing that can be read says where the items of a pack went: then no reader gets there either. */
async function readableMoved(context: RepositoryContext, pack: string): Promise<MovedItems | null> {
  try {
    return await readMoved(context, pack);
  } catch (error) {
    if (isOperatingError(error, "corrupt")) return null;
    throw error;
  }
}

/** The marks of verifies of a restore point (or of all), of each kind oldest first. */
export async function* readVerifyMarks(
  context: RepositoryContext,
  filter: { readonly restorePointId?: string; readonly kind?: MarkKind },
  signal?: AbortSignal,
): AsyncGenerator<KeptVerifyMark> {
  const prefix = filter.restorePointId === undefined ? MARKS_PREFIX : `${MARKS_PREFIX}${filter.restorePointId}/`;
  for await (const { name } of context.storage.list(prefix, signal)) {
    const [restorePointId = "", fileName = ""] = name.slice(MARKS_PREFIX.length).split("/");
    const match = /^(verify|damage)-(.+)$/.exec(fileName);
    if (match === null || !isId(restorePointId) || !isId(match[2]!)) continue;
    if (filter.kind !== undefined && filter.kind !== match[1]) continue;
    const mark = await readVerifyMark(context, name, restorePointId, signal);
    if (mark !== null) yield { ...mark, id: match[2]!, isWhole: match[1] === "verify" };
  }
}

/** The mark of a verify with that object name; null when its restore point is gone, and it with it. Throws "corrupt". */
export async function readVerifyMark(
  context: RepositoryContext,
  name: string,
  restorePointId: string,
  signal?: AbortSignal,
): Promise<VerifyMark | null> {
  const bytes = await readListed(context, name, signal);
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
    if (this.hasPack(reference.pack)) return true;
    return this.#items.size > 0 && this.#items.has(`${reference.pack}#${reference.itemNumber}`);
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
