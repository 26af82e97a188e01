// Between repositories that were made alike, packs travel byte for byte: those that the target lacks and that the restore
// point needs half of or more, a delta counting as the full chunk that it would be sealed anew as. Less, and what cannot be
// moved as it is (damaged, sealed with a data key that the target does not have, listed for pruning there), is left to be
// sealed anew, chunk by chunk.
// Limits: PACKS_AT_ONCE packs at a time, each with PIECES_AHEAD pieces of PIECE_BYTES in memory besides the writer's.

import { createHash } from "node:crypto";
import { isOperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { mapAhead } from "../context.ts";
import type { RepositoryContext } from "../context.ts";
import { packObjectName } from "../identifiers.ts";
import { ItemSet } from "../item-set.ts";
import type { PackRecord } from "../manifest.ts";
import { isDamage } from "../restore-point.ts";
import type { RestorePoint } from "../restore-point.ts";
import type { ReusablePacks } from "../reuse.ts";
import type { Run } from "../run.ts";
import { corrupt, HEADER_BYTES, ObjectCipher } from "../sealing.ts";
import type { ChunkFinder } from "./chunk-finder.ts";
import { chunksOf } from "./known-chunks.ts";
import type { Known, KnownChunks } from "./known-chunks.ts";
import type { ChunkReference } from "../lists.ts";

const NEEDED_SHARE_MIN = 0.5;
const PACKS_AT_ONCE = 2;
const PIECES_AHEAD = 2;
const PIECE_BYTES = 4 * MIB;

export interface MovingParts {
  readonly source: RepositoryContext;
  readonly target: RepositoryContext;
  readonly restorePoint: RestorePoint;
  readonly sourcePacks: ReusablePacks;
  readonly run: Run;
  readonly finder: ChunkFinder;
  readonly known: KnownChunks;
  readonly signal: AbortSignal | undefined;
  readonly onBytes: (bytes: number) => void;
}

/** Moves what is worth it; how many packs and bytes. */
export async function movePacks(parts: MovingParts): Promise<{ readonly packCount: number; readonly bytes: number }> {
  const needed = await neededBytes(parts);
  const chosen = [...needed].flatMap(([pack, bytes]) => {
    const record = parts.sourcePacks.find(pack);
    return record !== null && bytes >= record[1] * NEEDED_SHARE_MIN ? [record] : [];
  });
  let [packCount, bytes] = [0, 0];
  const moves = mapAhead(chosen, PACKS_AT_ONCE, async (record) => ({ record, outcome: await movePack(parts, record) }));
  for await (const { outcome, record } of moves) {
    if (outcome === "not movable") continue;
    parts.run.adoptPack(record);
    if (outcome === "there") continue;
    packCount += 1;
    bytes += record[1];
  }
  return { packCount, bytes };
}

/** Sealed bytes that the restore point needs of each pack that the target lacks and may be given; of a delta, its base's. */
async function neededBytes(parts: MovingParts): Promise<ReadonlyMap<string, number>> {
  const { finder, run, sourcePacks } = parts;
  const needed = new Map<string, number>();
  const counted = new Map<string, ItemSet>();
  for await (const { chunk, known } of allChunks(parts)) {
    if (finder.find(chunk, known) !== null) continue;
    // Without the pack of its base a delta is sealed anew, wherever it lies itself.
    for (const one of chunk.base === null ? [chunk] : [chunk, chunk.base]) {
      const { itemNumber, pack } = sourcePacks.currentPlace(one);
      if (sourcePacks.find(pack) === null || !run.reusable.isAbsent(pack)) continue;
      const items = counted.get(pack) ?? new ItemSet();
      counted.set(pack, items);
      if (items.add(itemNumber)) needed.set(pack, (needed.get(pack) ?? 0) + (one.base ?? one).lengthBytes);
    }
  }
  return needed;
}

async function* allChunks({
  known,
  restorePoint,
  signal,
}: MovingParts): AsyncGenerator<{ readonly chunk: ChunkReference; readonly known: Known }> {
  for (const relation of restorePoint.manifest.relations) {
    const cursor = known.segmentsOf(relation);
    try {
      for await (const { chunks, firstBlock } of restorePoint.segments(relation, signal)) {
        const here = await cursor.at(firstBlock);
        for (const chunk of chunks) yield { chunk, known: here };
      }
    } finally {
      await cursor.close();
    }
  }
  for (const set of restorePoint.manifest.largeObjects) {
    const here = await known.largeObjects();
    for await (const record of restorePoint.largeObjects(set, signal)) {
      for (const chunk of chunksOf(record)) yield { chunk, known: here };
    }
  }
}

async function movePack(parts: MovingParts, record: PackRecord): Promise<"moved" | "there" | "not movable"> {
  const { signal, target } = parts;
  const [pack, sizeBytes] = record;
  const name = packObjectName(pack);
  try {
    await using writer = await target.storage.openWriter(name, { ifAbsent: true, ...(signal && { signal }) });
    const hash = createHash("sha256");
    for await (const piece of piecesOf(parts, record)) {
      hash.update(piece);
      await writer.write(piece);
      parts.onBytes(piece.length);
    }
    const sha256 = hash.digest();
    // The manifest says what its run wrote: with these bytes, every item in them is right.
    if (sha256.toString("hex") !== record[2]) throw corrupt(name, "its checksum is not what its manifest says");
    await writer.finish({ sizeBytes, sha256 });
    return "moved";
  } catch (error) {
    signal?.throwIfAborted();
    if (isDamage(error)) return "not movable";
    // Another copy has brought it meanwhile.
    if (!isOperatingError(error, "repository_exists")) throw error;
    const found = await target.storage.head(name, signal);
    return found?.sizeBytes === sizeBytes ? "there" : "not movable";
  }
}

async function* piecesOf(
  { signal, source, target }: MovingParts,
  [pack, sizeBytes]: PackRecord,
): AsyncGenerator<Uint8Array> {
  const name = packObjectName(pack);
  const offsets = Array.from({ length: Math.ceil(sizeBytes / PIECE_BYTES) }, (_, index) => index * PIECE_BYTES);
  let isFirst = true;
  const reads = mapAhead(offsets, PIECES_AHEAD, async (offset) => {
    const lengthBytes = Math.min(PIECE_BYTES, sizeBytes - offset);
    return await source.storage.read(name, { offset, lengthBytes }, signal);
  });
  for await (const piece of reads) {
    // Throws when the target has not got the data key.
    if (isFirst) new ObjectCipher(target.keyring, name, piece.subarray(0, HEADER_BYTES));
    isFirst = false;
    yield piece;
  }
}
