// Reads back and authenticates every byte that a restore point refers to, decodes each chunk, checks its id, its raw
// length and the sums of rows and bytes, and the ends of the packs. Collects all damage and writes a mark of it.
// Memory: CHUNK_GROUPS_AHEAD groups of chunks and their plaintexts; damage is kept up to DAMAGE_ITEMS_MAX items.

import { isOperatingError, messageOf } from "../base/errors.ts";
import type { RepositoryContext } from "./context.ts";
import { mapAhead } from "./context.ts";
import { groupNeighbours } from "./chunk-reader.ts";
import { packObjectName } from "./identifiers.ts";
import type { ChunkReference } from "./lists.ts";
import type { LargeObjectSet, PackRecord, RelationRecord } from "./manifest.ts";
import { markWhereAllowed } from "./marks.ts";
import type { Damage, VerifyMark } from "./marks.ts";
import { MOVES_MAX, readMoved } from "./moved.ts";
import { isDamage } from "./restore-point.ts";
import type { RestorePoint } from "./restore-point.ts";
import { corrupt } from "./sealing.ts";
import { readContents } from "./sealed-object.ts";

const CHUNK_GROUPS_AHEAD = 3;
const PACKS_AHEAD = 4;
/** Beyond so many damaged items, packs are called damaged as a whole. */
const DAMAGE_ITEMS_MAX = 10_000;
/** What damage is of, when it is of no relation. */
const LARGE_OBJECTS = "large objects";

export interface VerifyProgress {
  readonly chunkCount: number;
  readonly chunkTotal: number;
  readonly sealedBytes: number;
  readonly sealedTotalBytes: number;
  /** The relation that is being read, "schema.name", or "large objects". */
  readonly relation: string;
}

export interface VerifyOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: VerifyProgress) => void;
  /** False leaves no mark. Default true. */
  readonly isMarked?: boolean;
  /** Only the data of these entries of the archive, and the packs that it lies in; a mark is left only of damage. */
  readonly onlyDumpIds?: ReadonlySet<number>;
}

/** The result of a verify: damage is empty when everything is right. */
export interface VerifyResult extends VerifyMark {
  readonly isWhole: boolean;
  readonly sealedBytes: number;
  /** False when no mark was left: the storage may only be read, or none was wanted. */
  readonly isMarked: boolean;
}

/** Verifies an opened restore point (its manifest was authenticated when it was opened). */
export async function verifyRestorePoint(
  context: RepositoryContext,
  restorePoint: RestorePoint,
  options: VerifyOptions = {},
): Promise<VerifyResult> {
  const verifier = new Verifier(context, restorePoint, options);
  const { damage, ...counts } = await verifier.run();
  const at = context.clock.now().toISOString();
  const mark: VerifyMark = { restorePointId: restorePoint.id, at, damage, ...counts };
  const isWhole = damage.length === 0;
  const isWanted = options.isMarked !== false && !(isWhole && options.onlyDumpIds !== undefined);
  const isMarked = isWanted && (await markWhereAllowed(context, isWhole ? "verify" : "damage", mark));
  return { ...mark, isWhole, sealedBytes: verifier.sealedBytes, isMarked };
}

class Verifier {
  sealedBytes = 0;
  #chunkCount = 0;
  #rawBytes = 0;
  readonly #context: RepositoryContext;
  readonly #restorePoint: RestorePoint;
  readonly #options: VerifyOptions;
  readonly #damage = new Map<string, Damage>();
  readonly #packNames: ReadonlySet<string>;

  constructor(context: RepositoryContext, restorePoint: RestorePoint, options: VerifyOptions) {
    this.#context = context;
    this.#restorePoint = restorePoint;
    this.#options = options;
    this.#packNames = new Set(restorePoint.manifest.packs.map(([name]) => name));
  }

  async run(): Promise<Pick<VerifyMark, "chunkCount" | "rawBytes" | "damage">> {
    const { onlyDumpIds } = this.#options;
    const isWanted = ({ dumpId }: RelationRecord | LargeObjectSet): boolean => onlyDumpIds?.has(dumpId) ?? true;
    const { manifest } = this.#restorePoint;
    const relations = manifest.relations.filter(isWanted);
    const largeObjects = manifest.largeObjects.filter(isWanted);
    const named = new Set([...relations, ...largeObjects].flatMap((record) => record.packs));
    const packs = onlyDumpIds === undefined ? manifest.packs : manifest.packs.filter((_, index) => named.has(index));
    const checks = mapAhead(packs, PACKS_AHEAD, async (pack) => await this.#checkPack(pack));
    for await (const _ of checks);
    for (const relation of relations) await this.#checkRelation(relation);
    for (const set of largeObjects) await this.#checkLargeObjects(set);
    return { chunkCount: this.#chunkCount, rawBytes: this.#rawBytes, damage: [...this.#damage.values()] };
  }

  async #checkRelation(relation: RelationRecord): Promise<void> {
    const name = `${relation.namespace}.${relation.name}`;
    let rowCount = 0;
    let segmentRows = 0;
    const segments = this.#restorePoint.segments(relation, this.#options.signal);
    const references = (async function* () {
      for await (const segment of segments) {
        segmentRows += segment.rowCount;
        for (const chunk of segment.chunks) {
          rowCount += chunk.rowCount;
          yield chunk;
        }
      }
    })();
    await this.#checkList(relation, name, async () => {
      const sums = await this.#checkChunks(references, name);
      if (rowCount !== relation.rowCount || segmentRows !== relation.rowCount) {
        throw corrupt(name, `its list has ${rowCount} rows, its record ${relation.rowCount}`);
      }
      return sums;
    });
  }

  async #checkLargeObjects(set: LargeObjectSet): Promise<void> {
    let objectCount = 0;
    const records = this.#restorePoint.largeObjects(set, this.#options.signal);
    const references = (async function* () {
      for await (const record of records) {
        if (record.kind === "shared") {
          objectCount += record.objects.length;
          yield record.chunk;
        } else {
          if (record.continuesPrevious !== true) objectCount += 1;
          yield* record.chunks;
        }
      }
    })();
    await this.#checkList(set, LARGE_OBJECTS, async () => {
      const sums = await this.#checkChunks(references, LARGE_OBJECTS);
      if (objectCount !== set.objectCount) {
        throw corrupt(LARGE_OBJECTS, `their list has ${objectCount}, its record ${set.objectCount}`);
      }
      return sums;
    });
  }

  /** Runs the check of a list; a list that cannot be read or does not add up is damage of its pages' packs. */
  async #checkList(
    record: RelationRecord | LargeObjectSet,
    name: string,
    check: () => Promise<{ chunkCount: number; rawBytes: number }>,
  ): Promise<void> {
    try {
      const { chunkCount, rawBytes } = await check();
      if (chunkCount !== record.chunkCount || rawBytes !== record.rawBytes) {
        throw corrupt(name, `its list has ${chunkCount} chunks, its record ${record.chunkCount}`);
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      const { packs, pages } = this.#restorePoint.manifest;
      for (const [pageIndex] of record.list) {
        const [packIndex, itemNumber] = pages[pageIndex]!;
        this.#add({ pack: packs[packIndex]![0], itemNumber, relation: name, reason: messageOf(error) });
      }
    }
  }

  async #checkChunks(
    references: AsyncIterable<ChunkReference>,
    relation: string,
  ): Promise<{ chunkCount: number; rawBytes: number }> {
    let [chunkCount, rawBytes] = [0, 0];
    const groups = mapAhead(groupNeighbours(references), CHUNK_GROUPS_AHEAD, async (group) => {
      await this.#checkGroup(group, relation);
      return group;
    });
    for await (const group of groups) {
      for (const reference of group) {
        chunkCount += 1;
        rawBytes += reference.rawLengthBytes;
        this.sealedBytes += reference.lengthBytes;
      }
      this.#chunkCount += group.length;
      this.#rawBytes += group.reduce((sum, reference) => sum + reference.rawLengthBytes, 0);
      this.#report(relation);
    }
    return { chunkCount, rawBytes };
  }

  /** Neighbours in one request; if anything is wrong, one by one, so that the damage has its exact place. */
  async #checkGroup(group: readonly ChunkReference[], relation: string): Promise<void> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    try {
      for await (const chunk of this.#restorePoint.readChunks(group, signal))
        await this.#restorePoint.decodeChunk(chunk);
      if (group.every(({ base, pack }) => this.#packNames.has(pack) && this.#packNames.has(base?.pack ?? pack))) return;
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    for (const reference of group) {
      // Damage of a base is damage of everything that leans on it, and stands at the base's place.
      const isSound = reference.base === null || (await this.#checkOne(reference.base, relation));
      if (isSound) await this.#checkOne(reference, relation);
    }
  }

  async #checkOne(reference: ChunkReference, relation: string): Promise<boolean> {
    const { itemNumber, pack } = reference;
    try {
      if (!this.#packNames.has(pack)) throw corrupt(packObjectName(pack), "the manifest does not name it");
      await this.#restorePoint.decodeChunk(await this.#restorePoint.readChunk(reference, this.#options.signal));
      return true;
    } catch (error) {
      if (!isDamage(error)) throw error;
      const isMissing = isOperatingError(error, "not_found");
      this.#add({ pack, itemNumber: isMissing ? null : itemNumber, relation, reason: messageOf(error) });
      return false;
    }
  }

  /** Size, header, contents and trailer of a pack, or of those that its items moved to. */
  async #checkPack([pack, sizeBytes]: PackRecord, moves = 0): Promise<void> {
    const { keyring, storage } = this.#context;
    const { signal } = this.#options;
    const name = packObjectName(pack);
    try {
      const found = await storage.head(name, signal);
      if (found === null) {
        const moved = moves < MOVES_MAX ? await readMoved(this.#context, pack, signal) : null;
        if (moved === null) throw corrupt(name, "it is missing");
        for (const target of moved.packs) await this.#checkPack(target, moves + 1);
        return;
      }
      if (found.sizeBytes !== sizeBytes) throw corrupt(name, `it has ${found.sizeBytes} bytes, not ${sizeBytes}`);
      await readContents(storage, keyring, { name, sizeBytes }, signal);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#add({ pack, itemNumber: null, relation: null, reason: messageOf(error) });
    }
  }

  #add(damage: Damage): void {
    const isCrowded = this.#damage.size >= DAMAGE_ITEMS_MAX;
    const itemNumber = isCrowded ? null : damage.itemNumber;
    // Several relations may share a place: a page of lists, or a pack as a whole.
    const key = `${damage.pack}#${itemNumber}#${damage.relation ?? ""}`;
    if (!this.#damage.has(key)) this.#damage.set(key, { ...damage, itemNumber });
  }

  #report(relation: string): void {
    const { largeObjects, relations, totals } = this.#restorePoint.manifest;
    this.#options.onProgress?.({
      chunkCount: this.#chunkCount,
      chunkTotal: [...relations, ...largeObjects].reduce((sum, record) => sum + record.chunkCount, 0),
      sealedBytes: this.sealedBytes,
      sealedTotalBytes: totals.sealedBytes,
      relation,
    });
  }
}
