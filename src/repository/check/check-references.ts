// Holds one restore point against the packs: every pack that it names is there and of its size, every list reads and adds
// up, and each chunk that a list names stands in the contents of its pack, at this place, with this length and id; so does
// what a delta leans on, and it is a full chunk.

import { messageOf } from "../../base/errors.ts";
import type { ChunkReference } from "../lists.ts";
import type { LargeObjectSet, PackRecord, RelationRecord } from "../manifest.ts";
import type { Damage } from "../marks.ts";
import { placeNow } from "../prune/survey.ts";
import type { Survey } from "../prune/survey.ts";
import { isDamage } from "../restore-point.ts";
import type { RestorePoint } from "../restore-point.ts";
import { TAG_BYTES } from "../sealing.ts";
import type { PackContentsReader } from "./pack-contents.ts";
import type { ReadData } from "./read-data.ts";

const LARGE_OBJECTS = "large objects";
const PAGE = { kind: "page", encoding: "none", id: null, baseId: null } as const;
/** Beyond so many damaged items of a restore point, packs are called damaged as a whole. */
const DAMAGE_ITEMS_MAX = 1000;

/** What restore points are held against. */
export interface CheckGround {
  readonly survey: Survey;
  readonly contents: PackContentsReader;
  readonly read: ReadData;
}

/** See the head of this file. */
export class ReferenceChecker {
  chunkCount = 0;
  readonly #ground: CheckGround;
  readonly #restorePoint: RestorePoint;
  readonly #signal: AbortSignal | undefined;
  readonly #damage = new Map<string, Damage>();
  readonly #packNames: ReadonlySet<string>;

  constructor(ground: CheckGround, restorePoint: RestorePoint, signal: AbortSignal | undefined) {
    this.#packNames = new Set(restorePoint.manifest.packs.map(([pack]) => pack));
    this.#ground = ground;
    this.#restorePoint = restorePoint;
    this.#signal = signal;
  }

  /** Everything that is wrong. */
  async run(): Promise<readonly Damage[]> {
    const { largeObjects, packs, pages, relations } = this.#restorePoint.manifest;
    for (const record of packs) this.#checkPack(record);
    for (const [packIndex, itemNumber, offset, rawLengthBytes] of pages) {
      const place = { pack: packs[packIndex]![0], itemNumber, offset, lengthBytes: rawLengthBytes + TAG_BYTES };
      await this.#checkItem({ ...place, ...PAGE, rawLengthBytes }, null);
    }
    for (const relation of relations) await this.#checkRelation(relation);
    for (const set of largeObjects) await this.#checkLargeObjects(set);
    return [...this.#damage.values()];
  }

  /** The pack is there, of its size; or it was repacked, and the packs that its items went to are. */
  #checkPack([pack, sizeBytes]: PackRecord): void {
    const { moved, packs } = this.#ground.survey;
    const found = packs.get(pack);
    const items = moved.get(pack);
    if (found === sizeBytes) return;
    const reason = found === undefined ? "it is missing" : `it has ${found} bytes, not ${sizeBytes}`;
    if (found !== undefined || items === undefined) return this.#add(pack, null, { relation: null, reason });
    for (const target of items.packs) this.#checkPack(target);
  }

  async #checkRelation(relation: RelationRecord): Promise<void> {
    const name = `${relation.namespace}.${relation.name}`;
    const sums = { rows: 0, chunks: 0, rawBytes: 0 };
    await this.#checkList(relation, name, async () => {
      for await (const segment of this.#restorePoint.segments(relation, this.#signal)) {
        for (const chunk of segment.chunks) await this.#checkChunk(chunk, name, sums);
        sums.rows += segment.rowCount;
      }
      const isRight = sums.rows === relation.rowCount && sums.chunks === relation.chunkCount;
      return isRight && sums.rawBytes === relation.rawBytes;
    });
  }

  async #checkLargeObjects(set: LargeObjectSet): Promise<void> {
    const sums = { rows: 0, chunks: 0, rawBytes: 0 };
    await this.#checkList(set, LARGE_OBJECTS, async () => {
      for await (const record of this.#restorePoint.largeObjects(set, this.#signal)) {
        const chunks = record.kind === "own" ? record.chunks : [record.chunk];
        for (const chunk of chunks) await this.#checkChunk(chunk, LARGE_OBJECTS, sums);
      }
      return sums.chunks === set.chunkCount && sums.rawBytes === set.rawBytes;
    });
  }

  async #checkList(record: RelationRecord | LargeObjectSet, name: string, read: () => Promise<boolean>): Promise<void> {
    const { packs, pages } = this.#restorePoint.manifest;
    const addAll = (reason: string): void => {
      for (const [pageIndex] of record.list) {
        const [packIndex, itemNumber] = pages[pageIndex]!;
        this.#add(packs[packIndex]![0], itemNumber, { relation: name, reason });
      }
    };
    try {
      if (!(await read())) addAll("its list does not add up to what the manifest says");
    } catch (error) {
      if (!isDamage(error)) throw error;
      addAll(messageOf(error));
    }
  }

  async #checkChunk(
    chunk: ChunkReference,
    relation: string,
    sums: { chunks: number; rawBytes: number },
  ): Promise<void> {
    sums.chunks += 1;
    sums.rawBytes += chunk.rawLengthBytes;
    this.chunkCount += 1;
    if (chunk.base !== null) await this.#checkItem({ ...chunk.base, baseId: null }, relation);
    await this.#checkItem({ ...chunk, baseId: chunk.base?.id ?? null }, relation);
  }

  async #checkItem(wanted: WantedItem, relation: string | null): Promise<void> {
    const { itemNumber, pack } = wanted;
    const problem = await this.#problemOf(wanted);
    if (problem === null) return;
    const { isWhole, reason } = problem;
    this.#add(pack, isWhole ? null : itemNumber, { relation, reason });
  }

  async #problemOf(wanted: WantedItem): Promise<{ readonly reason: string; readonly isWhole: boolean } | null> {
    const { contents, read, survey } = this.#ground;
    if (!this.#packNames.has(wanted.pack)) return { reason: "the manifest does not name its pack", isWhole: false };
    const place = placeNow(survey, wanted);
    if (place === null) return { reason: "it was left behind when its pack was repacked", isWhole: false };
    const found = await contents.read(place.pack, this.#signal);
    if (!found.isReadable) return { reason: found.reason, isWhole: true };
    const item = found.items[place.itemNumber];
    const isSame =
      item !== undefined &&
      item.kind === wanted.kind &&
      item.offset === place.offset &&
      item.lengthBytes === wanted.lengthBytes &&
      item.rawLengthBytes === wanted.rawLengthBytes &&
      item.encoding === wanted.encoding &&
      isSameId(item.id, wanted.id) &&
      isSameId(item.baseId ?? null, wanted.baseId);
    if (!isSame) return { reason: "its pack's contents have something else there", isWhole: false };
    const reason = read.damaged.get(place.pack)?.get(place.itemNumber);
    return reason === undefined ? null : { reason, isWhole: false };
  }

  #add(pack: string, itemNumber: number | null, what: Pick<Damage, "relation" | "reason">): void {
    const isWhole = this.#damage.size >= DAMAGE_ITEMS_MAX || this.#damage.has(keyOf(pack, null, null));
    const number = isWhole ? null : itemNumber;
    const key = keyOf(pack, number, what.relation);
    if (!this.#damage.has(key)) this.#damage.set(key, { pack, itemNumber: number, ...what });
  }
}

function keyOf(pack: string, itemNumber: number | null, relation: string | null): string {
  return `${pack}#${itemNumber}#${relation ?? ""}`;
}

function isSameId(one: Uint8Array | null, other: Uint8Array | null): boolean {
  return one === null || other === null ? one === other : Buffer.compare(one, other) === 0;
}

type WantedPlace = Pick<
  ChunkReference,
  "pack" | "itemNumber" | "offset" | "lengthBytes" | "rawLengthBytes" | "encoding"
>;

type WantedItem = WantedPlace & {
  readonly kind: ChunkReference["kind"] | "page";
  readonly id: Uint8Array | null;
  readonly baseId: Uint8Array | null;
};
