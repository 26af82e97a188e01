// Reads whole packs, chosen at random, until a part of all bytes was read: every item authentic, decoded within its raw
// length, its id right. A delta is authenticated only: no pack says where its base lies. Verify decodes it. Memory: one group of at most GROUP_BYTES_MAX (or one larger item) and one plaintext.

import { timingSafeEqual } from "node:crypto";
import { messageOf } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { chunkId } from "../chunk-id.ts";
import type { RepositoryContext } from "../context.ts";
import { packObjectName } from "../identifiers.ts";
import { isDamage } from "../restore-point.ts";
import { decode } from "../sealed-object.ts";
import type { ItemEntry } from "../sealed-object.ts";
import { corrupt } from "../sealing.ts";
import type { ObjectCipher } from "../sealing.ts";
import type { PackContentsReader } from "./pack-contents.ts";
import type { CheckOptions } from "./types.ts";

const GROUP_BYTES_MAX = 4 * MIB;

/** What reading found. */
export interface ReadData {
  /** Reasons by pack and item number. */
  readonly damaged: ReadonlyMap<string, ReadonlyMap<number, string>>;
  readonly packCount: number;
  readonly bytes: number;
}

/** Reads that part of the packs. */
export async function readData(
  context: RepositoryContext,
  packs: ReadonlyMap<string, number>,
  contents: PackContentsReader,
  options: CheckOptions,
): Promise<ReadData> {
  const damaged = new Map<string, ReadonlyMap<number, string>>();
  const wantedBytes = [...packs.values()].reduce((sum, size) => sum + size, 0) * options.readFraction;
  let [packCount, bytes] = [0, 0];
  for (const [pack, sizeBytes] of shuffled(context, packs)) {
    if (bytes >= wantedBytes) break;
    options.signal?.throwIfAborted();
    const found = await contents.read(pack, options.signal);
    // What cannot be read is found by the check of the structure too.
    const reasons = found.isReadable ? await readItems(context, pack, found, options.signal) : new Map();
    if (reasons.size > 0) damaged.set(pack, reasons);
    packCount += 1;
    bytes += sizeBytes;
    options.onProgress?.({ phase: "read-data", fractionDone: Math.min(1, bytes / wantedBytes) });
  }
  return { damaged, packCount, bytes };
}

function shuffled(context: RepositoryContext, packs: ReadonlyMap<string, number>): [string, number][] {
  const keyed = [...packs].map((pack) => ({ pack, key: Buffer.from(context.random(8)).readBigUInt64BE() }));
  return keyed.toSorted((one, other) => (one.key < other.key ? -1 : 1)).map(({ pack }) => pack);
}

async function readItems(
  context: RepositoryContext,
  pack: string,
  { cipher, items }: { readonly cipher: ObjectCipher; readonly items: readonly ItemEntry[] },
  signal: AbortSignal | undefined,
): Promise<Map<number, string>> {
  const name = packObjectName(pack);
  const reasons = new Map<number, string>();
  for (const group of groupsOf(items)) {
    signal?.throwIfAborted();
    const [first, last] = [group[0]!, group.at(-1)!];
    const range = { offset: first.offset, lengthBytes: last.offset + last.lengthBytes - first.offset };
    try {
      const sealed = await context.storage.read(name, range, signal);
      for (const item of group) {
        const start = item.offset - range.offset;
        const reason = await damageOf(context, name, { cipher, item, sealed: sealed.subarray(start, start + item.lengthBytes) }); // prettier-ignore
        if (reason !== null) reasons.set(item.itemNumber, reason);
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      for (const { itemNumber } of group) reasons.set(itemNumber, messageOf(error));
    }
  }
  return reasons;
}

async function damageOf(
  context: RepositoryContext,
  name: string,
  { cipher, item, sealed }: { readonly cipher: ObjectCipher; readonly item: ItemEntry; readonly sealed: Uint8Array },
): Promise<string | null> {
  try {
    const bytes = cipher.unseal(item.itemNumber, item, sealed);
    if (item.encoding === "zstd-delta") return null;
    const raw = await decode(name, item, bytes);
    if (item.id === null || (item.kind !== "table" && item.kind !== "large-objects")) return null;
    const id = chunkId(context.keyring.chunkIdSecret, item.kind, raw);
    if (timingSafeEqual(id, item.id)) return null;
    throw corrupt(name, `the contents of item ${item.itemNumber} do not match its id`);
  } catch (error) {
    if (isDamage(error)) return messageOf(error);
    throw error;
  }
}

function* groupsOf(items: readonly ItemEntry[]): Generator<readonly ItemEntry[]> {
  let group: ItemEntry[] = [];
  for (const item of items) {
    const first = group[0];
    if (first !== undefined && item.offset + item.lengthBytes - first.offset > GROUP_BYTES_MAX) {
      yield group;
      group = [];
    }
    group.push(item);
  }
  if (group.length > 0) yield group;
}
