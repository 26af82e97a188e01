// Copies a restore point from one repository into another, without the database that it is of. The copy is a restore
// point like any other, under the same id: its packs, lists and manifest are the target's own, and a backup's rules hold
// for its commit. Nothing is written to the source. Source: docs/formats/repository.md §6.

import { isOperatingError } from "../../base/errors.ts";
import { refuseUnknownKey, refuseUnknownKeyOf } from "../changed-keys.ts";
import { lineageKeyOf } from "../lineages.ts";
import { listManifests } from "../manifest-objects.ts";
import type { Manifest, PackRecord } from "../manifest.ts";
import { isDamage } from "../restore-point.ts";
import type { RestorePoint } from "../restore-point.ts";
import { COPY_KIND } from "../retention/kinds.ts";
import { ReusablePacks } from "../reuse.ts";
import type { CommitInput, Run } from "../run.ts";
import { ChunkFinder } from "./chunk-finder.ts";
import { DataCopier } from "./data-copier.ts";
import { KnownChunks } from "./known-chunks.ts";
import { movePacks } from "./move-packs.ts";
import { areAlike, haveEqualIds } from "./shared-keys.ts";
import type { CopyOptions, CopyOutcome, CopyProgress, CopySide, CopyTarget } from "./types.ts";

/** Copies one restore point. Throws "repository_exists" where it is there already, "corrupt" when it is damaged. */
export async function copyRestorePoint(
  source: CopySide,
  target: CopyTarget,
  id: string,
  options: CopyOptions,
): Promise<CopyOutcome> {
  const { signal } = options;
  const restorePoint = await source.openRestorePoint(id, signal);
  const { manifest } = restorePoint;
  // A target whose readers may not know deltas gets no pack that may hold any.
  const isReadable = target.context.takesDeltas || !source.context.takesDeltas;
  const isAlike = isReadable && areAlike(source.context.keyring, target.context.keyring);
  const sourcePacks = isAlike ? await ReusablePacks.find(source.context, manifest.packs, signal) : null;
  const parent = await findParent(target, manifest, signal);
  await using run = await target.startRun({
    kind: COPY_KIND,
    lineageName: manifest.lineage.name,
    parent,
    morePacks: sourcePacks === null ? [] : packsOf(manifest, sourcePacks),
    takesOver: true,
    ...(options.keptBytesMin !== undefined && { keptBytesMin: options.keptBytesMin }),
    ...(signal && { signal }),
  });
  await options.onStarted?.(run.id);
  const sides = { source, target, restorePoint, sourcePacks, run };
  const { data, ...counts } = await copyData(sides, options);
  const summary = await run.commit({ ...factsOf(manifest), ...data, ...copiedFacts(sides), toc: restorePoint.toc });
  return { summary, ...counts };
}

interface Copying {
  readonly source: CopySide;
  readonly target: CopyTarget;
  readonly restorePoint: RestorePoint;
  readonly sourcePacks: ReusablePacks | null;
  readonly run: Run;
}

/** The packs that the manifest names, and those that their items moved to. */
function packsOf({ packs }: Manifest, sourcePacks: ReusablePacks): readonly PackRecord[] {
  return [...packs, ...sourcePacks.records()];
}

type CopiedData = Omit<CopyOutcome, "summary"> & { readonly data: Pick<CommitInput, "relations" | "largeObjects"> };

async function copyData(copying: Copying, options: CopyOptions): Promise<CopiedData> {
  const { restorePoint, run, source, sourcePacks, target } = copying;
  const { signal } = options;
  const areIdsEqual = haveEqualIds(source.context.keyring, target.context.keyring);
  const twin = areIdsEqual ? null : await findTwin(source, run.parent, signal);
  const known = new KnownChunks({ parent: run.parent, twin, areIdsEqual });
  const finder = new ChunkFinder(run, sourcePacks);
  const meter = new Meter(restorePoint.manifest, options.onProgress);
  const common = { restorePoint, run, finder, known, signal };
  const moved =
    sourcePacks === null
      ? { packCount: 0, bytes: 0 }
      : await movePacks({
          ...common,
          source: source.context,
          target: target.context,
          sourcePacks,
          onBytes: (bytes) => meter.moved(bytes),
        });
  const copier = new DataCopier({
    ...common,
    secret: areIdsEqual ? undefined : target.context.keyring.chunkIdSecret,
    onCopied: (added) => meter.copied(added),
    onRelationDone: () => meter.relationDone(),
  });
  const data = { relations: await copier.copyRelations(), largeObjects: await copier.copyLargeObjects() };
  const { resealedBytes, resealedChunkCount } = copier;
  return { data, movedPackCount: moved.packCount, movedBytes: moved.bytes, resealedChunkCount, resealedBytes };
}

/** What of a manifest is the restore point's and not its repository's. */
function factsOf(manifest: Manifest): Omit<CommitInput, "relations" | "largeObjects" | "toc" | "copied"> {
  const { lineage, startedAt, snapshotAt, snapshot, tool, options, tags, textEncoding, warnings } = manifest;
  return {
    lineage,
    startedAt,
    snapshotAt,
    source: manifest.source,
    snapshot,
    tool,
    options,
    tags,
    textEncoding,
    warnings,
    ...(manifest.cluster === undefined ? {} : { cluster: manifest.cluster }),
    incremental: manifest.incremental,
    ...(manifest.globals === undefined ? {} : { globals: manifest.globals }),
  };
}

function copiedFacts({ restorePoint, source, target }: Copying): Required<Pick<CommitInput, "copied">> {
  const { finishedAt, id } = restorePoint.manifest;
  const at = target.context.clock.now().toISOString();
  return { copied: { id, finishedAt, from: { repositoryId: source.id, restorePointId: id, at } } };
}

/**
 * What to compare with: the copy of its own parent, else the newest before it, else the next; null when none can be opened.
 * Throws OperatingError "wrong_key" where that or the newest shows that the target's keys are not its newest ones.
 */
async function findParent(target: CopyTarget, manifest: Manifest, signal?: AbortSignal): Promise<RestorePoint | null> {
  const key = lineageKeyOf(target.context.keyring, manifest.lineage);
  const objects = await listManifests(target.context, signal);
  const places = objects.filter(({ lineageKey }) => lineageKey === key).toSorted((one, other) => (one.id < other.id ? -1 : 1)); // prettier-ignore
  const newest = places.at(-1);
  if (newest !== undefined) await refuseUnknownKeyOf(target.context, newest, signal);
  const ids = places.map((place) => place.id);
  const own = ids.find((id) => id === manifest.parentId);
  const id = own ?? ids.findLast((one) => one < manifest.id) ?? ids[0];
  return id === undefined ? null : await openIfReadable(target, id, { signal, onDamage: refuseUnknownKey });
}

/** What the parent is a copy of, when it is of this source and still there. */
async function findTwin(
  source: CopySide,
  parent: RestorePoint | null,
  signal: AbortSignal | undefined,
): Promise<RestorePoint | null> {
  const copiedFrom = parent?.manifest.copiedFrom;
  if (copiedFrom?.repositoryId !== source.id) return null;
  const twin = await openIfReadable(source, copiedFrom.restorePointId, { signal, onDamage: () => undefined });
  return twin?.forComparison((place) => place) ?? null;
}

async function openIfReadable(
  side: CopySide,
  id: string,
  { onDamage, signal }: { readonly signal: AbortSignal | undefined; readonly onDamage: (error: unknown) => void },
): Promise<RestorePoint | null> {
  try {
    return await side.openRestorePoint(id, signal);
  } catch (error) {
    onDamage(error);
    if (isDamage(error) || isOperatingError(error, "restore_point_not_found")) return null;
    throw error;
  }
}

/** Adds up how far a copy is. */
class Meter {
  readonly #onProgress: CopyOptions["onProgress"];
  readonly #relationsTotal: number;
  readonly #sealedBytes: number;
  #movedBytes = 0;
  #settled = { sealedBytes: 0, rawBytes: 0, rowCount: 0 };
  #relationsDone = 0;

  constructor({ relations, totals }: Manifest, onProgress: CopyOptions["onProgress"]) {
    this.#onProgress = onProgress;
    this.#relationsTotal = relations.length;
    this.#sealedBytes = totals.sealedBytes;
  }

  moved(bytes: number): void {
    this.#movedBytes += bytes;
    this.#report();
  }

  copied({
    rawBytes,
    rowCount,
    sealedBytes,
  }: {
    readonly sealedBytes: number;
    readonly rawBytes: number;
    readonly rowCount: number;
  }): void {
    this.#settled.sealedBytes += sealedBytes;
    this.#settled.rawBytes += rawBytes;
    this.#settled.rowCount += rowCount;
    this.#report();
  }

  relationDone(): void {
    this.#relationsDone += 1;
    this.#report();
  }

  #report(): void {
    const { rawBytes, rowCount, sealedBytes } = this.#settled;
    const progress: CopyProgress = {
      // What was a delta in the source may be longer here.
      doneBytes: Math.min(this.#sealedBytes, Math.max(sealedBytes, this.#movedBytes)),
      totalBytes: this.#sealedBytes,
      rowCount,
      rawBytes,
      relationsDone: this.#relationsDone,
      relationsTotal: this.#relationsTotal,
    };
    this.#onProgress?.(progress);
  }
}
