// A run that writes a restore point: stores chunks and lists, then commits a manifest, or leaves nothing that counts.
// Source: docs/formats/repository.md §5 to §7. Before commit() has written the manifest, nothing refers to the packs.

import { assert } from "../base/assert.ts";
import { isOperatingError } from "../base/errors.ts";
import { CHUNK_ID_BYTES } from "./chunk-id.ts";
import type { ChunkKind } from "./chunk-id.ts";
import { readListed } from "./context.ts";
import type { RepositoryContext } from "./context.ts";
import { BACKUPS_PREFIX, isId, makeId, manifestObjectName, packObjectName } from "./identifiers.ts";
import { lineageKeyOf } from "./lineages.ts";
import type { LeftoverPacks, TakenOver } from "./leftover-packs.ts";
import { LargeObjectListWriter, PageWriter, SegmentListWriter } from "./list-writer.ts";
import type { ChunkReference } from "./lists.ts";
import { encodeBody, encodeSummary } from "./manifest.ts";
import type {
  CopiedFrom,
  Json,
  LargeObjectSet,
  ManifestBody,
  PackRecord,
  RelationRecord,
  RestorePointFacts,
  RestorePointSummary,
  Totals,
} from "./manifest.ts";
import { confirmOwnPacks } from "./own-packs.ts";
import { PackStream } from "./pack-stream.ts";
import type { FinishedPack } from "./pack-stream.ts";
import { markWhereAllowed } from "./marks.ts";
import type { Damage } from "./marks.ts";
import { openManifest } from "./restore-point.ts";
import { ReadBack } from "./read-back.ts";
import type { RestorePoint } from "./restore-point.ts";
import type { ReusablePacks } from "./reuse.ts";
import type { RunBeacon } from "./run-record.ts";
import { corrupt } from "./sealing.ts";
import type { Encoding } from "./sealing.ts";
import { sealObject } from "./sealed-object.ts";

/** For deleting the packs of a run that is given up; what is left then is for prune. */
const DELETING_MS_MAX = 5 * 60_000;

/** A chunk to be stored: one zstd frame with checksum, made with its base as dictionary if it is a delta; or plain bytes. */
export interface NewChunk {
  readonly kind: ChunkKind;
  readonly id: Uint8Array;
  readonly rawLengthBytes: number;
  readonly rowCount: number;
  readonly continues: boolean;
  readonly encoding: Encoding;
  /** Of a delta: the full chunk that it leans on, which the run may refer to as canReuse() says. */
  readonly base?: ChunkReference | null;
  /** The run may keep the buffer until storeChunk() resolves. */
  readonly bytes: Uint8Array;
}

/** What commit() needs besides what the run knows. */
export interface CommitInput extends RestorePointFacts {
  readonly relations: readonly RelationRecord[];
  readonly largeObjects: readonly LargeObjectSet[];
  readonly incremental?: Json;
  readonly globals?: Json;
  /** The custom archive's head and table of contents as pg_dump wrote them. */
  readonly toc: Uint8Array;
  /** Only of a restore point that is copied from another repository: it keeps its id and times. */
  readonly copied?: CopiedFacts;
}

/** What a copy keeps of the restore point that it is of, and where that is. */
export interface CopiedFacts {
  readonly id: string;
  readonly finishedAt: string;
  readonly from: CopiedFrom;
}

/** What startRun() hands to a run. */
export interface RunParts {
  readonly id: string;
  readonly beacon: RunBeacon;
  readonly parent: RestorePoint | null;
  readonly reusable: ReusablePacks;
  /** What dead runs of the lineage left; null: nothing is taken over. */
  readonly leftovers: LeftoverPacks | null;
  /** From so many durable bytes on, a run that is given up leaves its packs to the next one. */
  readonly keptBytesMin: number;
  readonly signal: AbortSignal | undefined;
}

/** See Repository.startRun(). Disposing a run that was not committed aborts it. */
export class Run implements AsyncDisposable {
  readonly id: string;
  /** The restore point to compare with; its lists end where they are damaged (RestorePoint.forComparison()). */
  readonly parent: RestorePoint | null;
  readonly #context: RepositoryContext;
  readonly #parts: RunParts;
  readonly #packs: PackStream;
  readonly #pages: PageWriter;
  /** Packs in the order in which the manifest names them. */
  readonly #packIndexes = new Map<string, number>();
  #state: "open" | "committing" | "ended" = "open";
  #finishedPacks: readonly FinishedPack[] = [];
  /** Bytes of packs that were taken as they are from another repository. */
  readonly #adopted = new Map<string, number>();
  #keptBytes = 0;
  #isDamageMarked = false;
  #isManifestInDoubt = false;
  /** From then on others may have seen the manifest and refer to the packs: only prune may delete them. */
  #wasManifestBegun = false;

  constructor(context: RepositoryContext, parts: RunParts) {
    const { id, parent, signal } = parts;
    this.id = id;
    this.parent = parent?.forComparison((place) => parts.reusable.currentPlace(place)) ?? null;
    this.#context = context;
    this.#parts = parts;
    const onDurable = (packCount: number): void => parts.beacon.notePacks(packCount);
    this.#packs = new PackStream({ ...context, runId: id, signal, onDurable });
    this.#pages = new PageWriter(this.#pageSink());
  }

  /** True when a list of this run may refer to that chunk of the parent, and to its base, instead of storing it anew. */
  canReuse(reference: Pick<ChunkReference, "pack" | "itemNumber" | "base">): boolean {
    return this.#parts.reusable.canReuse(reference);
  }

  /** A chunk of the parent could not be read back: the run refers to it no more, and marks it when it ends, so that no later one does. */
  noteDamage(
    { itemNumber, pack }: ChunkReference,
    found: { readonly relation: string; readonly reason: string },
  ): void {
    const isKnown = this.foundDamage.some((one) => one.pack === pack && one.itemNumber === itemNumber);
    if (!isKnown) this.#parts.reusable.addDamage({ pack, itemNumber, ...found });
  }

  /** What noteDamage() was told. */
  get foundDamage(): readonly Damage[] {
    return this.#parts.reusable.foundDamage;
  }

  /** False where readers may not know deltas, so that every chunk has to be a full one. */
  get takesDeltas(): boolean {
    return this.#context.takesDeltas;
  }

  /** What reading chunks back goes over, and whether the provider there is known to charge for it. */
  get readsBackOver(): "disk" | "network" | "charged network" {
    const { isLocal, isReadingCharged } = this.#context.storage;
    if (isLocal) return "disk";
    return isReadingCharged ? "charged network" : "network";
  }

  /** Reads chunks of the parent back, and counts that. */
  openReadBack(): ReadBack {
    return new ReadBack(this.#context);
  }

  /** What the run knows of packs that it did not write itself. */
  get reusable(): ReusablePacks {
    return this.#parts.reusable;
  }

  /** The run may refer to a pack that it has just written as it is in another repository; durable, of that size. */
  adoptPack(record: PackRecord): void {
    this.#parts.reusable.adopt(record);
    this.#adopted.set(record[0], record[1]);
  }

  /** Seals and stores a chunk. May be called concurrently; resolves when the storage wants more. */
  async storeChunk(chunk: NewChunk): Promise<ChunkReference> {
    const { base = null, bytes, continues, encoding, id, kind, rawLengthBytes, rowCount } = chunk;
    assert(this.#state === "open", "a run that takes chunks is open");
    assert(id.length === CHUNK_ID_BYTES, "a chunk id has 32 bytes");
    const isRight = base === null ? encoding !== "zstd-delta" : this.takesDeltas && base.base === null;
    assert(isRight, "a delta leans on a full chunk, in a repository that takes deltas");
    const facts = { kind, id, rawLengthBytes };
    const found = await this.#parts.leftovers?.take({ ...facts, base }, this.#parts.signal);
    if (found) return { ...facts, ...found, rowCount, continues };
    const place = await this.#packs.append({ ...facts, encoding, baseId: base?.id ?? null }, bytes);
    return { ...facts, ...place, rowCount, continues, encoding, base };
  }

  /** A list for the segments of one relation. Several may be open; its own calls must not overlap. */
  openSegmentList(): SegmentListWriter {
    return new SegmentListWriter(this.#pageSink(), this.#pages);
  }

  /** A list for the large objects of one BLOBS entry. */
  openLargeObjectList(): LargeObjectListWriter {
    return new LargeObjectListWriter(this.#pageSink(), this.#pages);
  }

  /**
   * Makes the restore point: packs durable and confirmed, manifest written last, packs confirmed again, manifest read back.
   * When it throws, no restore point exists and the run has to be aborted.
   */
  async commit(input: CommitInput): Promise<RestorePointSummary> {
    assert(this.#state === "open", "a run is committed once");
    this.#state = "committing";
    const { beacon, signal } = this.#parts;
    const pages = await this.#pages.finish();
    this.#finishedPacks = await this.#packs.finish();
    beacon.check();
    const pageRecords = pages.map(({ place, rawLengthBytes }) => {
      return [this.#indexOf(place.pack), place.itemNumber, place.offset, rawLengthBytes] as const;
    });
    const packs = this.#packRecords();
    await this.#markDamage();
    await this.#confirmPacks(packs, signal);
    const { toc, relations, largeObjects, incremental, globals, copied, ...facts } = input;
    const body: ManifestBody = {
      packs,
      pages: pageRecords,
      relations: relations.map(withoutExtras),
      largeObjects: largeObjects.map(withoutExtras),
      incremental: incremental ?? null,
      ...(globals === undefined ? {} : { globals }),
    };
    const summary = await this.#summarize(facts, body, copied);
    await this.#writeManifest(summary, body, toc);
    await this.#end();
    return summary;
  }

  /**
   * Gives the run up: removes its record and what it stored. Packs stay for prune once the manifest's put was begun; and for
   * the lineage's next run when they are many, or when others may refer to them already. Safe to call at any time; does nothing after commit().
   */
  async abort(): Promise<void> {
    if (this.#state === "ended") return;
    this.#state = "ended";
    const { beacon, keptBytesMin } = this.#parts;
    await this.#markDamage().catch(() => undefined); // the next run finds it too
    const durable = await this.#packs.abort();
    const durableBytes = durable.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    if (durableBytes >= keptBytesMin) {
      this.#keptBytes = durableBytes;
      await beacon.breakOff().catch(() => undefined);
      return;
    }
    const isOurs = await this.#endRecord();
    if (!isOurs || this.#wasManifestBegun) return;
    // What is not removed now stays as a left-over that `check` names; nothing refers to it.
    const deadline = AbortSignal.timeout(DELETING_MS_MAX);
    for (const { name } of durable) {
      if (beacon.isOverdue || deadline.aborted) return;
      await this.#context.storage.delete(packObjectName(name), deadline).catch(() => undefined);
    }
  }

  async #markDamage(): Promise<void> {
    if (this.foundDamage.length === 0 || this.#isDamageMarked) return;
    this.#isDamageMarked = true;
    const at = this.#context.clock.now().toISOString();
    const facts = { restorePointId: this.parent!.id, at, chunkCount: 0, rawBytes: 0 };
    await markWhereAllowed(this.#context, "damage", { ...facts, damage: this.foundDamage });
  }

  /**
   * Removes the record. False when others may have taken the run for dead before it was gone, and its packs over. Once it is
   * gone nobody can take them over any more, however long deleting them takes.
   */
  async #endRecord(): Promise<boolean> {
    const { beacon } = this.#parts;
    const isOurs = await beacon.confirm(AbortSignal.timeout(DELETING_MS_MAX)).then(() => true, () => false); // prettier-ignore
    const isGone = await beacon.end().then(() => true, () => false); // prettier-ignore
    return isOurs && isGone && !beacon.isOverdue;
  }

  /** After abort(): bytes of the packs that the lineage's next run can take over; 0: nothing was left. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** What was taken over so far of what dead runs left; null: they left nothing. */
  get takenOver(): TakenOver | null {
    return this.#parts.leftovers?.takenOver ?? null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #pageSink(): ConstructorParameters<typeof PageWriter>[0] {
    return {
      storePage: async (bytes) => {
        return await this.#packs.append(
          { kind: "page", encoding: "none", rawLengthBytes: bytes.length, id: null },
          bytes,
        );
      },
      referTo: ({ itemNumber, pack }) => {
        const isOwn = pack.startsWith(`${this.id}-`);
        assert(isOwn || this.#parts.reusable.find(pack) !== null, `pack ${pack} may be referred to`);
        if (!isOwn) this.#parts.reusable.refer(pack, itemNumber);
        return { packIndex: this.#indexOf(pack), isReused: !isOwn && !this.#adopted.has(pack) };
      },
    };
  }

  #indexOf(pack: string): number {
    const known = this.#packIndexes.get(pack);
    if (known !== undefined) return known;
    this.#packIndexes.set(pack, this.#packIndexes.size);
    return this.#packIndexes.size - 1;
  }

  #packRecords(): PackRecord[] {
    const own = new Map(this.#finishedPacks.map((pack) => [pack.name, pack]));
    return [...this.#packIndexes.keys()].map((name): PackRecord => {
      const pack = own.get(name);
      if (pack !== undefined) return [name, pack.sizeBytes, pack.sha256];
      const record = this.#parts.reusable.find(name);
      assert(record !== null, `pack ${name} is known`);
      return record;
    });
  }

  async #summarize(
    facts: RestorePointFacts,
    body: ManifestBody,
    copied: CopiedFacts | undefined,
  ): Promise<RestorePointSummary> {
    return {
      id: copied?.id ?? (await this.#newId(facts)),
      runId: this.id,
      parentId: this.parent?.id ?? null,
      ...facts,
      finishedAt: copied?.finishedAt ?? this.#context.clock.now().toISOString(),
      totals: totalsOf(body, [...this.#finishedPacks.map(({ sizeBytes }) => sizeBytes), ...this.#adopted.values()]),
      ...(copied === undefined ? {} : { copiedFrom: copied.from }),
    };
  }

  async #newId({ lineage, snapshotAt }: RestorePointFacts): Promise<string> {
    const { keyring, random } = this.#context;
    return makeId(new Date(snapshotAt), random, await this.#newestId(lineageKeyOf(keyring, lineage)));
  }

  async #newestId(lineageKey: string): Promise<string | null> {
    const prefix = `${BACKUPS_PREFIX}${lineageKey}/`;
    let newest: string | null = null;
    for await (const { name } of this.#context.storage.list(prefix, this.#parts.signal)) {
      const id = name.slice(prefix.length);
      if (isId(id) && (newest === null || id > newest)) newest = id;
    }
    return newest;
  }

  /** Throws OperatingError unless all packs that the manifest names are there, reused ones and this run's own. */
  async #confirmPacks(packs: readonly PackRecord[], signal?: AbortSignal): Promise<void> {
    const { reusable } = this.#parts;
    const isReused = ([name]: PackRecord): boolean => reusable.find(name) !== null;
    await reusable.confirm(packs.filter(isReused), signal);
    await confirmOwnPacks(this.#context, packs.filter((pack) => !isReused(pack)), signal); // prettier-ignore
  }

  async #writeManifest(summary: RestorePointSummary, body: ManifestBody, toc: Uint8Array): Promise<void> {
    const { keyring, storage } = this.#context;
    const { beacon, signal } = this.#parts;
    const name = manifestObjectName(lineageKeyOf(keyring, summary.lineage), summary.id);
    const items = [
      { kind: "summary", encoding: "none", bytes: encodeSummary(summary) },
      { kind: "body", encoding: "zstd", bytes: encodeBody(body) },
      { kind: "toc", encoding: "zstd", bytes: toc },
    ] as const;
    const object = await sealObject(this.#context, name, items, true);
    await openManifest(this.#context, name, object);
    signal?.throwIfAborted();
    beacon.check();
    this.#isManifestInDoubt = true;
    this.#wasManifestBegun = true;
    try {
      await storage.put(name, object, { ifAbsent: true });
      await this.#confirmPacks(body.packs);
      const found = await storage.read(name);
      if (Buffer.compare(found, object) !== 0) throw corrupt(name, "it was read back otherwise than it was written");
      await beacon.confirm();
    } catch (error) {
      await this.#withdraw(name, { object, isCopy: summary.copiedFrom !== undefined, reason: error });
      throw error;
    }
  }

  /**
   * Removes a manifest that must not count. Its packs stay: somebody may have taken them over meanwhile, and a put that
   * arrives after this delete (or a delete that fails) leaves a manifest that is at least whole.
   */
  async #withdraw(
    name: string,
    failed: { readonly object: Uint8Array; readonly isCopy: boolean; readonly reason: unknown },
  ): Promise<void> {
    const { isCopy, object, reason } = failed;
    // Under that name stands somebody else's restore point.
    if (isOperatingError(reason, "repository_exists")) this.#isManifestInDoubt = false;
    if (!this.#isManifestInDoubt) return;
    // The name of a copy is not its run's alone: another copy of the same restore point may have taken it meanwhile.
    if (isCopy && !(await this.#isThere(name, object))) return;
    await this.#context.storage.delete(name);
    this.#isManifestInDoubt = false;
  }

  async #isThere(name: string, object: Uint8Array): Promise<boolean> {
    const found = await readListed(this.#context, name);
    return found !== null && Buffer.compare(found, object) === 0;
  }

  async #end(): Promise<void> {
    this.#state = "ended";
    // The restore point is there; a record that stays behind is named by `check`, it does not undo a backup.
    await this.#parts.beacon.end().catch(() => undefined);
    await this.#parts.leftovers?.forgetRuns().catch(() => undefined);
  }
}

/** Drops fields that a finished list has and the record does not: sums that are always 0. */
function withoutExtras<T extends RelationRecord | LargeObjectSet>(record: T): T {
  const extra = "oid" in record ? "objectCount" : "rowCount";
  return { ...record, [extra]: undefined }; // JSON has no such fields
}

function totalsOf(body: ManifestBody, newPackBytes: readonly number[]): Totals {
  const records = [...body.relations, ...body.largeObjects];
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return {
    relations: body.relations.length,
    rows: sum(body.relations.map((relation) => relation.rowCount)),
    rawBytes: sum(records.map((record) => record.rawBytes)),
    sealedBytes: sum(records.map((record) => record.sealedBytes)),
    newBytes: sum(newPackBytes),
    chunks: sum(records.map((record) => record.chunkCount)),
    reusedChunks: sum(records.map((record) => record.reusedChunkCount)),
    reusedBytes: sum(records.map((record) => record.reusedBytes)),
    largeObjects: sum(body.largeObjects.map((set) => set.objectCount)),
  };
}
