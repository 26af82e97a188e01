// Repacking: copies the needed items of packs into new packs, says where they went, then deletes the old packs. Killed at
// any point, each old pack is still there or its items are found where they went; what was copied in vain is unneeded.
// Memory: one group of at most GROUP_BYTES_MAX (or one larger item), and the storage's writer.

import { messageOf } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import type { RepositoryContext } from "../context.ts";
import { packObjectName } from "../identifiers.ts";
import type { ItemSet } from "../item-set.ts";
import type { PackRecord } from "../manifest.ts";
import { writeMoved } from "../moved.ts";
import type { MovedItem } from "../moved.ts";
import { confirmOwnPacks } from "../own-packs.ts";
import { PackStream } from "../pack-stream.ts";
import type { FinishedPack } from "../pack-stream.ts";
import { isDamage } from "../restore-point.ts";
import type { RunBeacon } from "../run-record.ts";
import { readContents } from "../sealed-object.ts";
import type { ItemEntry } from "../sealed-object.ts";

const GROUP_BYTES_MAX = 4 * MIB;

/** A pack to be repacked without some of its items. */
export interface RepackJob {
  readonly pack: string;
  readonly sizeBytes: number;
  readonly dropped: ItemSet;
  readonly droppedBytes: number;
}

export interface RepackOptions {
  readonly runId: string;
  readonly beacon: RunBeacon;
  readonly signal: AbortSignal | undefined;
  /** Called for each job when its pack is gone, or with the reason why it stays. */
  readonly onDone: (job: RepackJob, failure: string | null) => void;
}

interface CopiedPack {
  readonly job: RepackJob;
  readonly items: readonly MovedItem[];
}

/** Does the jobs, about one new pack's worth at a time; the new packs. A pack with a damaged item stays as it is. */
export async function repack(
  context: RepositoryContext,
  jobs: readonly RepackJob[],
  options: RepackOptions,
): Promise<readonly PackRecord[]> {
  const { onDone, runId, signal } = options;
  const stream = new PackStream({ ...context, runId, signal });
  try {
    let batch: CopiedPack[] = [];
    let batchBytes = 0;
    for (const job of jobs) {
      try {
        const items = await copyItems(context, stream, job, signal);
        batch.push({ job, items });
        batchBytes += job.sizeBytes;
      } catch (error) {
        if (!isDamage(error)) throw error;
        onDone(job, messageOf(error));
      }
      if (batchBytes < context.packSizeBytes) continue;
      await settle(context, stream, batch, options);
      [batch, batchBytes] = [[], 0];
    }
    await settle(context, stream, batch, options);
    return (await stream.finish()).map(recordOf);
  } catch (error) {
    await stream.abort();
    throw error;
  }
}

async function copyItems(
  context: RepositoryContext,
  stream: PackStream,
  { dropped, pack, sizeBytes }: RepackJob,
  signal: AbortSignal | undefined,
): Promise<MovedItem[]> {
  const name = packObjectName(pack);
  const { cipher, items } = await readContents(context.storage, context.keyring, { name, sizeBytes }, signal);
  const moved: MovedItem[] = [];
  for (const group of neighbours(items.filter(({ itemNumber }) => !dropped.has(itemNumber)))) {
    const [first, last] = [group[0]!, group.at(-1)!];
    const range = { offset: first.offset, lengthBytes: last.offset + last.lengthBytes - first.offset };
    const sealed = await context.storage.read(name, range, signal);
    // All of the group is authentic before any of it is copied.
    const plain = group.map((item) => {
      const start = item.offset - range.offset;
      return { item, bytes: cipher.unseal(item.itemNumber, item, sealed.subarray(start, start + item.lengthBytes)) };
    });
    for (const { bytes, item } of plain) {
      const { baseId = null, encoding, id, kind, rawLengthBytes } = item;
      const place = await stream.append({ kind, encoding, id, rawLengthBytes, baseId }, bytes);
      moved.push({ oldNumber: item.itemNumber, pack: place.pack, itemNumber: place.itemNumber, offset: place.offset });
    }
  }
  return moved;
}

/** Makes the copies durable, says where the items went, deletes the old packs. */
async function settle(
  context: RepositoryContext,
  stream: PackStream,
  batch: readonly CopiedPack[],
  { beacon, onDone, signal }: RepackOptions,
): Promise<void> {
  if (batch.length === 0) return;
  const finished = await stream.finish();
  const records = new Map(finished.map((one) => [one.name, recordOf(one)]));
  for (const { items, job } of batch) {
    signal?.throwIfAborted();
    beacon.check();
    const packs = [...new Set(items.map(({ pack }) => pack))].map((pack) => records.get(pack)!);
    await confirmOwnPacks(context, packs, signal);
    await writeMoved(context, job.pack, { packs, items });
    await confirmOwnPacks(context, packs, signal);
    beacon.check();
    try {
      await context.storage.delete(packObjectName(job.pack), signal);
      onDone(job, null);
    } catch (error) {
      signal?.throwIfAborted();
      onDone(job, messageOf(error));
    }
  }
}

function recordOf({ name, sha256, sizeBytes }: FinishedPack): PackRecord {
  return [name, sizeBytes, sha256];
}

function* neighbours(items: readonly ItemEntry[]): Generator<readonly ItemEntry[]> {
  let group: ItemEntry[] = [];
  for (const item of items) {
    const [first, last] = [group[0], group.at(-1)];
    const isNext = last !== undefined && last.itemNumber + 1 === item.itemNumber;
    if (first !== undefined && (!isNext || item.offset + item.lengthBytes - first.offset > GROUP_BYTES_MAX)) {
      yield group;
      group = [];
    }
    group.push(item);
  }
  if (group.length > 0) yield group;
}
