// An open repository: restore points to list and open, runs that write new ones, verify, damage and left-overs.

import { isOperatingError, OperatingError } from "../base/errors.ts";
import type { Storage } from "../storage/index.ts";
import { refuseChangedKeys } from "./changed-keys.ts";
import { check } from "./check/check.ts";
import type { CheckOptions, CheckResult } from "./check/types.ts";
import { ChunkReader } from "./chunk-reader.ts";
import { copyRestorePoint } from "./copy/copy.ts";
import { areAlike } from "./copy/shared-keys.ts";
import type { CopyOptions, CopyOutcome, CopySide } from "./copy/types.ts";
import { DELTA_FEATURE } from "./configuration.ts";
import type { RepositoryContext } from "./context.ts";
import { unlockRepository, writeRepository } from "./create.ts";
import type { CreateOptions, OpenOptions, Unlocked } from "./create.ts";
import { readDrillMarks, writeDrillMark } from "./drill-marks.ts";
import type { DrillMark } from "./drill-marks.ts";
import { systemClock, systemRandom } from "./environment.ts";
import type { Clock, Random } from "./environment.ts";
import { makeId } from "./identifiers.ts";
import { removeDeadLeftovers } from "./leftovers.ts";
import { claimableRuns, KEPT_BYTES_MIN, LeftoverPacks } from "./leftover-packs.ts";
import type { Leftovers } from "./leftovers.ts";
import { LineageParents, type ContinuedLineage } from "./lineage-parents.ts";
import { lineageKeyOf } from "./lineages.ts";
import type { LineageFacts } from "./lineages.ts";
import { Listings } from "./listing/listings.ts";
import type { ListOptions, Overview } from "./listing/listings.ts";
import type { RestorePointMarks } from "./listing/restore-point-marks.ts";
import type { ManifestObject } from "./manifest-objects.ts";
import type { Lineage, PackRecord, RestorePointSummary } from "./manifest.ts";
import { markWhereAllowed, readDamage, readVerifyMarks } from "./marks.ts";
import type { DamageRegister, KeptVerifyMark } from "./marks.ts";
import { prune } from "./prune/prune.ts";
import type { PruneOptions, PrunePlace, PruneResult } from "./prune/types.ts";
import { needsLineages, resolveReference } from "./references.ts";
import { openManifest, RestorePoint } from "./restore-point.ts";
import { expire } from "./retention/expire.ts";
import type { ExpireDecision, ExpireOptions } from "./retention/expire.ts";
import { hold, holdNames, release } from "./retention/holds.ts";
import type { HoldMark } from "./retention/holds.ts";
import { ReusablePacks } from "./reuse.ts";
import { RunBeacon, RunObserver } from "./run-record.ts";
import type { SeenRun } from "./run-record.ts";
import { Run } from "./run.ts";
import { CountingStorage } from "./transfer.ts";
import type { Transfer } from "./transfer.ts";
import { verifyRestorePoint } from "./verify.ts";
import type { VerifyOptions, VerifyResult } from "./verify.ts";

/** What a repository is given by who opens it. */
export interface RepositorySurroundings {
  readonly clock?: Clock;
  readonly random?: Random;
  /** A folder of the user's where what was listed is kept, sealed, to list it faster next time; null: nowhere. */
  readonly cacheFolder?: string | null;
}

export interface StartRunOptions {
  /** "backup" and the like, for people. */
  readonly kind: string;
  readonly lineageName?: string;
  /** Whose chunks may be taken over. */
  readonly parent?: RestorePoint | null;
  /** Packs besides the parent's that the run wants to refer to, if they are there. */
  readonly morePacks?: readonly PackRecord[];
  /** True: what dead runs of the lineage left is taken over where it fits. */
  readonly takesOver?: boolean;
  /** From so many durable bytes on, a run that is given up leaves them to the lineage's next run; left out: 256 MiB. */
  readonly keptBytesMin?: number;
  readonly signal?: AbortSignal;
}

/** Makes a repository. The recovery kit is secret: show it once, keep it nowhere near the storage. Null without encryption. */
export async function createRepository(
  storage: Storage,
  options: CreateOptions,
): Promise<{ repository: Repository; recoveryKit: string | null }> {
  const { recoveryKit, ...unlocked } = await writeRepository(storage, options);
  return { repository: new Repository(storage, unlocked, options), recoveryKit };
}

/** Opens a repository. Throws OperatingError "no_repository", "wrong_key", "corrupt". */
export async function openRepository(
  storage: Storage,
  options: OpenOptions & RepositorySurroundings = {},
): Promise<Repository> {
  return new Repository(storage, await unlockRepository(storage, options), options);
}

/** See openRepository(). Methods may be called concurrently. */
export class Repository implements AsyncDisposable {
  /** 32 hex digits. */
  readonly id: string;
  readonly isEncrypted: boolean;
  readonly description: string;
  /** Key of chunk ids for chunkId(); null without encryption. Secret. */
  readonly chunkIdSecret: Uint8Array | null;
  readonly #unlocked: Unlocked;
  readonly #context: RepositoryContext;
  /** Of the configuration that was read. */
  readonly #generation: number;
  readonly #observer: RunObserver;
  readonly #chunks: ChunkReader;
  readonly #listings: Listings;
  readonly #parents: LineageParents;

  constructor(storage: Storage, unlocked: Unlocked, environment: RepositorySurroundings) {
    const { configuration, keyring } = unlocked;
    this.#unlocked = unlocked;
    this.id = Buffer.from(keyring.repositoryId).toString("hex");
    this.isEncrypted = keyring.current !== null;
    this.#generation = configuration.generation ?? 0;
    this.description = storage.description;
    this.chunkIdSecret = keyring.chunkIdSecret;
    this.#context = {
      storage: new CountingStorage(storage),
      keyring,
      clock: environment.clock ?? systemClock,
      random: environment.random ?? systemRandom,
      packSizeBytes: configuration.packSizeBytes,
      takesDeltas: configuration.features?.includes(DELTA_FEATURE) === true,
    };
    this.#observer = new RunObserver(this.#context);
    this.#chunks = new ChunkReader(this.#context);
    this.#listings = new Listings(this.#context, environment.cacheFolder ?? null);
    this.#parents = new LineageParents(this.#context, this.#listings, (...place) => this.#open(...place));
  }

  /** Requests and bytes since the repository was opened. */
  get transfer(): Readonly<Transfer> {
    return { ...this.#context.storage.transfer };
  }

  async freeSpaceBytes(): Promise<number | null> {
    return await this.#context.storage.freeSpaceBytes();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listings.save();
    await this.#context.storage[Symbol.asyncDispose]();
  }

  /** Begins a run: writes its record, removes what dead runs left unfinished, looks at the parent's packs. */
  async startRun(options: StartRunOptions): Promise<Run> {
    const { kind, lineageName = null, morePacks = [], parent = null, signal } = options;
    signal?.throwIfAborted();
    const runId = makeId(this.#context.clock.now(), this.#context.random);
    const claims = options.takesOver === true ? await claimableRuns(this.#observer, { kind, lineageName }, signal) : [];
    const beacon = await RunBeacon.start(this.#context, {
      runId,
      kind,
      lineageName,
      ...(claims.length > 0 && { takesOverFrom: claims }),
    });
    try {
      await refuseChangedKeys(this.#context, this.#observer, this.#generation, signal);
      await removeDeadLeftovers(this.#context, this.#observer, signal);
      const packs = new Map([...(parent?.manifest.packs ?? []), ...morePacks].map((pack) => [pack[0], pack]));
      const reusable = await ReusablePacks.find(this.#context, [...packs.values()], signal);
      const place = { context: this.#context, observer: this.#observer };
      const leftovers = await LeftoverPacks.find({ ...place, chunks: this.#chunks }, { claims, reusable }, signal);
      const keptBytesMin = options.keptBytesMin ?? KEPT_BYTES_MIN;
      return new Run(this.#context, { id: runId, beacon, parent, reusable, leftovers, keptBytesMin, signal });
    } catch (error) {
      await beacon.end().catch(() => undefined);
      throw error;
    }
  }

  /**
   * Makes a repository with the id and the keys of this one, and slots of its own: packs move between the two byte for
   * byte. Throws OperatingError "repository_exists", and "usage" where one would be encrypted and the other not.
   */
  async createLike(
    storage: Storage,
    options: Omit<CreateOptions, "like">,
  ): Promise<{ readonly repository: Repository; readonly recoveryKit: string | null }> {
    return await createRepository(storage, { ...options, like: this.#unlocked });
  }

  /** True when packs move between this repository and that one as they are. */
  isLike(other: Repository): boolean {
    return areAlike(this.#context.keyring, other.#context.keyring);
  }

  /**
   * Copies a restore point of another repository, under the same id. Throws OperatingError "corrupt" when it is damaged
   * there, "repository_exists" where it is here already.
   */
  async copyFrom(source: Repository, id: string, options: CopyOptions = {}): Promise<CopyOutcome> {
    const target = { ...this.#copySide(), startRun: async (run: StartRunOptions) => await this.startRun(run) };
    return await copyRestorePoint(source.#copySide(), target, id, options);
  }

  /** Runs that have a record now, this process's own among them. */
  async runs(signal?: AbortSignal): Promise<readonly SeenRun[]> {
    return await this.#observer.runs(signal);
  }

  /** Restore points, newest first. Reads a few KiB of each that no listing cache knows. */
  async restorePoints(options: ListOptions = {}): Promise<readonly RestorePointSummary[]> {
    return await this.#listings.restorePoints(options);
  }

  /** Restore points and left-overs, by one listing of each folder. */
  async overview(options: ListOptions = {}): Promise<Overview> {
    return await this.#listings.overview(this.#observer, options);
  }

  /** Lineages in the order of their labels, each as its newest readable restore point tells it. */
  async lineages(options: Omit<ListOptions, "lineageName"> = {}): Promise<readonly LineageFacts[]> {
    return await this.#listings.lineages(options);
  }

  /** What marks say of these restore points; those that have none are not in it. */
  async marks(ids: readonly string[], signal?: AbortSignal): Promise<ReadonlyMap<string, RestorePointMarks>> {
    return await this.#listings.marks(ids, signal);
  }

  /** The id that a reference means. Throws OperatingError "restore_point_not_found" or "ambiguous_reference". */
  async resolve(reference: string, signal?: AbortSignal): Promise<string> {
    const places = await this.#listings.manifests(signal);
    const options = { onDamage: () => undefined, ...(signal && { signal }) };
    const lineages = needsLineages(reference) ? await this.lineages(options) : [];
    return resolveReference(reference, places, lineages).id;
  }

  /** Opens a restore point by its whole id. Throws OperatingError "restore_point_not_found" or "corrupt". */
  async openRestorePoint(id: string, signal?: AbortSignal): Promise<RestorePoint> {
    return await this.#open(await this.#findManifest(id, signal), signal);
  }

  /** The same for who judges it: a manifest that is damaged is marked so, that no expire takes it for the last good one. */
  async openToJudge(id: string, signal?: AbortSignal): Promise<RestorePoint> {
    try {
      return await this.openRestorePoint(id, signal);
    } catch (error) {
      if (!isOperatingError(error, "corrupt")) throw error;
      const at = this.#context.clock.now().toISOString();
      const nothing = { restorePointId: id, at, chunkCount: 0, rawBytes: 0, damage: [] };
      await markWhereAllowed(this.#context, "damage", nothing);
      throw error;
    }
  }

  /** The last restore points of a lineage, newest first; those that cannot be read are passed over. */
  async recentSummaries(lineage: Lineage, countMax: number, signal?: AbortSignal): Promise<RestorePointSummary[]> {
    const key = lineageKeyOf(this.#context.keyring, lineage);
    const objects = (await this.#listings.manifests(signal)).filter((object) => object.lineageKey === key);
    const newest = objects.toSorted((one, other) => (one.id < other.id ? 1 : -1)).slice(0, countMax);
    const options = { onDamage: () => undefined, ...(signal && { signal }) };
    const summaries = await Promise.all(newest.map((object) => this.#listings.summary(object, options)));
    return summaries.filter((summary) => summary !== null);
  }

  /** What a backup of that database under that name continues. Throws when the parent's key is not known here. */
  async continueLineage(lineage: Lineage, signal?: AbortSignal): Promise<ContinuedLineage> {
    return await this.#parents.continueLineage(lineage, signal);
  }

  /**
   * Reads already what continueLineage() will ask for, which waits for it: where nothing comes in between it is not read again.
   * Throws as that does; that throws it too.
   */
  async foreseeLineage(lineage: Lineage, signal?: AbortSignal): Promise<void> {
    await this.#parents.foresee(lineage, signal);
  }

  /** Reads back and authenticates every byte of a restore point; see VerifyResult.isWhole. Writes a mark. */
  async verifyRestorePoint(restorePoint: RestorePoint, options: VerifyOptions = {}): Promise<VerifyResult> {
    return await verifyRestorePoint(this.#context, restorePoint, options);
  }

  /** Verifies of a restore point, oldest first. */
  async verifies(restorePointId: string, signal?: AbortSignal): Promise<readonly KeptVerifyMark[]> {
    const marks: KeptVerifyMark[] = [];
    for await (const mark of readVerifyMarks(this.#context, { restorePointId }, signal)) marks.push(mark);
    return marks.toSorted((one, other) => (one.id < other.id ? -1 : 1));
  }

  /** Keeps what a drill found beside its restore point. */
  async markDrilled(mark: Omit<DrillMark, "at">): Promise<void> {
    await writeDrillMark(this.#context, mark);
  }

  /** Drills of a restore point, oldest first. */
  async drills(restorePointId: string, signal?: AbortSignal): Promise<readonly DrillMark[]> {
    return await readDrillMarks(this.#context, restorePointId, signal);
  }

  /** Everything that any verify found damaged; later backups store it anew. */
  async damaged(signal?: AbortSignal): Promise<DamageRegister> {
    return await readDamage(this.#context, signal);
  }

  /** Removes the manifests that no rule keeps; see planRetention(). Packs stay until they are pruned. */
  async expire(options: ExpireOptions): Promise<readonly ExpireDecision[]> {
    return await expire({ ...this.#place(), listings: this.#listings }, options);
  }

  /** Keeps a restore point from being expired. Throws OperatingError "restore_point_not_found", "locked". */
  async hold(id: string, reason: string, signal?: AbortSignal): Promise<HoldMark> {
    const manifest = await this.#findManifest(id, signal);
    return await hold(this.#context, this.#observer, { manifest, reason }, signal);
  }

  /** True when a restore point is held. */
  async isHeld(id: string, signal?: AbortSignal): Promise<boolean> {
    return (await holdNames(this.#context, id, signal)).length > 0;
  }

  /** Takes all holds of a restore point away; how many there were. */
  async release(id: string, signal?: AbortSignal): Promise<number> {
    return await release(this.#context, id, signal);
  }

  /** Gives the space of what nobody needs back, in two steps; see prune(). Throws OperatingError "locked", "corrupt". */
  async prune(options: PruneOptions): Promise<PruneResult> {
    return await prune({ ...this.#place(), chunks: this.#chunks }, options);
  }

  /** Checks structure, references and sizes of everything, and a part of the data; see check(). Marks what is damaged. */
  async check(options: CheckOptions): Promise<CheckResult> {
    return await check({ context: this.#context, observer: this.#observer, chunks: this.#chunks }, options);
  }

  /** What dead runs left behind. Changes nothing. */
  async leftovers(signal?: AbortSignal): Promise<Leftovers> {
    return await this.#listings.leftovers(this.#observer, signal);
  }

  #place(): Pick<PrunePlace, "context" | "observer" | "generation"> {
    return { context: this.#context, observer: this.#observer, generation: this.#generation };
  }

  #copySide(): CopySide {
    const openRestorePoint: CopySide["openRestorePoint"] = async (id, signal) =>
      await this.openRestorePoint(id, signal);
    return { id: this.id, context: this.#context, openRestorePoint };
  }

  async #open({ name }: ManifestObject, signal: AbortSignal | undefined): Promise<RestorePoint> {
    const bytes = await this.#context.storage.read(name, undefined, signal);
    return new RestorePoint(this.#context, this.#chunks, await openManifest(this.#context, name, bytes));
  }

  async #findManifest(id: string, signal: AbortSignal | undefined): Promise<ManifestObject> {
    const object = (await this.#listings.manifests(signal)).find((one) => one.id === id);
    if (object !== undefined) return object;
    throw new OperatingError("restore_point_not_found", `there is no restore point "${id}"`);
  }
}
