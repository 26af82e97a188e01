// Which items of some packs are needed: reads the lists of every restore point that has anything in them, and no others.
// Memory: one bit for each item of these packs, a few pages of lists; time grows with the chunks of those restore points.

import type { ChunkReader } from "../chunk-reader.ts";
import type { RepositoryContext } from "../context.ts";
import { packObjectName } from "../identifiers.ts";
import { ItemSet } from "../item-set.ts";
import type { ChunkReference } from "../lists.ts";
import type { LargeObjectSet, Manifest, RelationRecord } from "../manifest.ts";
import type { PackItemPlace } from "../moved.ts";
import { isDamage, readManifest, RestorePoint } from "../restore-point.ts";
import { readContents } from "../sealed-object.ts";
import type { ItemEntry } from "../sealed-object.ts";
import { placeNow } from "./survey.ts";
import type { Survey } from "./survey.ts";

const NO_TOC = new Uint8Array(0);

/** What is needed of the packs that were asked about. */
export interface LiveItems {
  readonly items: ReadonlyMap<string, ItemSet>;
  /** Packs of which nobody knows, because a list that refers to them cannot be read. */
  readonly unknown: ReadonlySet<string>;
}

interface Marker {
  readonly survey: Survey;
  readonly items: Map<string, ItemSet>;
  readonly unknown: Set<string>;
  /** Packs from which one gets to a pack that was asked about, itself among them. */
  readonly ways: ReadonlyMap<string, readonly string[]>;
}

/** Marks what is needed of these packs. */
export async function findLiveItems(
  context: RepositoryContext,
  chunks: ChunkReader,
  asked: { readonly survey: Survey; readonly packs: Iterable<string> },
  signal?: AbortSignal,
): Promise<LiveItems> {
  const { survey } = asked;
  const items = new Map([...asked.packs].map((pack) => [pack, new ItemSet()]));
  const marker: Marker = { survey, items, unknown: new Set(), ways: waysTo(survey, items) };
  if (items.size === 0) return marker;
  for (const object of survey.manifests) {
    signal?.throwIfAborted();
    if (survey.unreadable.includes(object.name)) continue;
    try {
      const manifest = await readManifest(context, object, signal);
      await markManifest(marker, new RestorePoint(context, chunks, { manifest, toc: NO_TOC }), signal);
    } catch (error) {
      // An expire may have removed it since the survey; what it needed then is only kept longer.
      if (!isDamage(error)) throw error;
      for (const pack of items.keys()) marker.unknown.add(pack);
    }
  }
  return marker;
}

function waysTo(survey: Survey, items: ReadonlyMap<string, ItemSet>): ReadonlyMap<string, readonly string[]> {
  const ways = new Map<string, readonly string[]>();
  const targetsOf = (pack: string): readonly string[] => {
    const known = ways.get(pack);
    if (known !== undefined) return known;
    // Stands there while its own targets are looked for, so that a forged circle ends.
    ways.set(pack, []);
    const moved = survey.moved.get(pack);
    const further = moved === undefined ? [] : moved.packs.flatMap(([target]) => targetsOf(target));
    const reached = [...new Set([...(items.has(pack) ? [pack] : []), ...further])];
    ways.set(pack, reached);
    return reached;
  };
  for (const pack of survey.needed) targetsOf(pack);
  return ways;
}

async function markManifest(
  marker: Marker,
  restorePoint: RestorePoint,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { manifest } = restorePoint;
  const leads = manifest.packs.map(([pack]) => (marker.ways.get(pack) ?? []).length > 0);
  for (const [packIndex, itemNumber, offset] of manifest.pages) {
    if (leads[packIndex] === true) mark(marker, { pack: manifest.packs[packIndex]![0], itemNumber, offset });
  }
  for (const relation of manifest.relations) {
    if (!relation.packs.some((index) => leads[index])) continue;
    await markList(marker, manifest, relation, async () => {
      for await (const { chunks } of restorePoint.segments(relation, signal))
        for (const one of chunks) markChunk(marker, one);
    });
  }
  for (const set of manifest.largeObjects) {
    if (!set.packs.some((index) => leads[index])) continue;
    await markList(marker, manifest, set, async () => {
      for await (const record of restorePoint.largeObjects(set, signal)) {
        for (const one of record.kind === "own" ? record.chunks : [record.chunk]) markChunk(marker, one);
      }
    });
  }
}

async function markList(
  marker: Marker,
  manifest: Manifest,
  record: RelationRecord | LargeObjectSet,
  read: () => Promise<void>,
): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (!isDamage(error)) throw error;
    for (const index of record.packs) {
      for (const pack of marker.ways.get(manifest.packs[index]![0]) ?? []) marker.unknown.add(pack);
    }
  }
}

/** A chunk, and what it leans on. */
function markChunk(marker: Marker, chunk: ChunkReference): void {
  mark(marker, chunk);
  if (chunk.base !== null) mark(marker, chunk.base);
}

function mark({ items, survey }: Marker, place: PackItemPlace): void {
  const now = placeNow(survey, place);
  if (now !== null) items.get(now.pack)?.add(now.itemNumber);
}

/** The items of a pack that are not needed; null when its contents cannot be read. */
export async function readUnused(
  context: RepositoryContext,
  asked: { readonly pack: string; readonly sizeBytes: number; readonly live: LiveItems },
  signal?: AbortSignal,
): Promise<readonly ItemEntry[] | null> {
  const { live, pack, sizeBytes } = asked;
  const object = { name: packObjectName(pack), sizeBytes };
  try {
    const { items } = await readContents(context.storage, context.keyring, object, signal);
    return items.filter(({ itemNumber }) => live.items.get(pack)?.has(itemNumber) !== true);
  } catch (error) {
    if (isDamage(error)) return null;
    throw error;
  }
}
