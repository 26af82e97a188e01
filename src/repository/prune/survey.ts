// What a repository holds and what of it is needed. The order matters: packs, then runs, then manifests. A run that wrote
// a pack before the packs were listed is either at work when the runs are read, or has ended, and then its manifest is
// among those read last. Memory: some hundred bytes for each pack, 20 for each item that was moved; a few manifests.

import { mapAhead } from "../context.ts";
import type { RepositoryContext } from "../context.ts";
import { movedObjectName, packOfObject, PACKS_PREFIX, runOfPack } from "../identifiers.ts";
import { listManifests } from "../manifest-objects.ts";
import type { ManifestObject } from "../manifest-objects.ts";
import { MOVES_MAX, readMoved } from "../moved.ts";
import type { MovedItems, PackItemPlace } from "../moved.ts";
import { isDamage, readManifest } from "../restore-point.ts";
import { COPY_KIND } from "../retention/kinds.ts";
import type { RunObserver, SeenRun } from "../run-record.ts";

const MANIFESTS_AHEAD = 4;

/** What a survey wants to know of a manifest. */
export interface ManifestNeeds {
  readonly runId: string;
  /** Names of packs. */
  readonly packs: Iterable<string>;
}

/** Lists manifests and reads what they need. Throws as readManifest(). */
export interface NeedsReader {
  /** So many are asked for at once. */
  readonly ahead: number;
  list(signal?: AbortSignal): Promise<readonly ManifestObject[]>;
  /** What is known without reading; left out, or null: nothing. */
  known?(object: ManifestObject): ManifestNeeds | null;
  read(object: ManifestObject, signal?: AbortSignal): Promise<ManifestNeeds>;
}

/** See the head of this file. */
export interface Survey {
  /** Packs that are there, with their sizes. */
  readonly packs: Map<string, number>;
  /** Packs of which it is written where their items went. */
  readonly movedPacks: Set<string>;
  readonly runs: readonly SeenRun[];
  readonly manifests: readonly ManifestObject[];
  /** Manifests and lists of moved items that cannot be read: while there are any, nobody knows what is needed. */
  readonly unreadable: readonly string[];
  /** Packs that a manifest names, and those that their items moved to. */
  readonly needed: ReadonlySet<string>;
  /** Where the items of needed packs went. */
  readonly moved: ReadonlyMap<string, MovedItems>;
  /** How often items in a pack have moved. */
  readonly moves: ReadonlyMap<string, number>;
  /** Runs whose restore point is there: it needs all that they wrote. */
  readonly neededRuns: ReadonlySet<string>;
}

/** Looks at everything by names and manifests; opens no pack. Whoever removes something reads manifests themselves. */
export async function surveyRepository(
  context: RepositoryContext,
  observer: RunObserver,
  signal?: AbortSignal,
  reader: NeedsReader = {
    ahead: MANIFESTS_AHEAD,
    list: async () => await listManifests(context, signal),
    read: async (object) => await readNeeds(context, object, signal),
  },
): Promise<Survey> {
  const packs = new Map<string, number>();
  const movedPacks = new Set<string>();
  for await (const { name, sizeBytes } of context.storage.list(PACKS_PREFIX, signal)) {
    const found = packOfObject(name);
    if (found?.isMoved === true) movedPacks.add(found.pack);
    else if (found !== null) packs.set(found.pack, sizeBytes);
  }
  const runs = await observer.runs(signal);
  const manifests = await reader.list(signal);
  const named = new Set<string>();
  const neededRuns = new Set<string>();
  const unreadable: string[] = [];
  const note = ({ packs: needs, runId }: ManifestNeeds): void => {
    neededRuns.add(runId);
    for (const pack of needs) named.add(pack);
  };
  const unknown: ManifestObject[] = [];
  for (const object of manifests) {
    const known = reader.known?.(object) ?? null;
    if (known === null) unknown.push(object);
    else note(known);
  }
  const reads = mapAhead(unknown, reader.ahead, async (object) => {
    signal?.throwIfAborted();
    try {
      note(await reader.read(object, signal));
    } catch (error) {
      if (!isDamage(error)) throw error;
      // One that an expire removed meanwhile is not unreadable.
      if ((await context.storage.head(object.name, signal)) !== null) unreadable.push(object.name);
    }
  });
  for await (const _ of reads);
  const reached = await followMoves(context, { named, movedPacks, unreadable }, signal);
  return { packs, movedPacks, runs, manifests, unreadable, neededRuns, ...reached };
}

async function readNeeds(
  context: RepositoryContext,
  object: ManifestObject,
  signal: AbortSignal | undefined,
): Promise<ManifestNeeds> {
  const { packs, runId } = await readManifest(context, object, signal);
  return { runId, packs: packs.map(([name]) => name) };
}

async function followMoves(
  context: RepositoryContext,
  from: {
    readonly named: ReadonlySet<string>;
    readonly movedPacks: ReadonlySet<string>;
    readonly unreadable: string[];
  },
  signal: AbortSignal | undefined,
): Promise<Pick<Survey, "needed" | "moved" | "moves">> {
  const { movedPacks, named, unreadable } = from;
  const needed = new Set(named);
  const moved = new Map<string, MovedItems>();
  const moves = new Map<string, number>();
  let level: ReadonlySet<string> = named;
  for (let count = 1; level.size > 0 && count <= MOVES_MAX + 1; count += 1) {
    const next = new Set<string>();
    for (const pack of level) {
      if (!movedPacks.has(pack)) continue;
      const items = moved.get(pack) ?? (await readableMoved(context, pack, signal));
      if (items === null) unreadable.push(movedObjectName(pack));
      if (items === null) continue;
      moved.set(pack, items);
      for (const [target] of items.packs) {
        needed.add(target);
        moves.set(target, count);
        next.add(target);
      }
    }
    level = next;
  }
  return { needed, moved, moves };
}

async function readableMoved(
  context: RepositoryContext,
  pack: string,
  signal: AbortSignal | undefined,
): Promise<MovedItems | null> {
  try {
    return await readMoved(context, pack, signal);
  } catch (error) {
    if (isDamage(error)) return null;
    throw error;
  }
}

/** Where an item lies now, by what the survey saw; null when it was left behind. */
export function placeNow(survey: Survey, place: PackItemPlace): PackItemPlace | null {
  let current: PackItemPlace | null = place;
  for (let moves = 0; current !== null && moves <= MOVES_MAX; moves += 1) {
    const items = survey.moved.get(current.pack);
    if (items === undefined) return current;
    current = items.find(current.itemNumber);
  }
  return null;
}

/** True while a copy may be at work: it writes packs under the names of other repositories' runs, and refers to what is there. */
export function isCopyAtWork({ runs }: Survey): boolean {
  return runs.some(({ record, state }) => state !== "dead" && (record === null || record.kind === COPY_KIND));
}

/** Runs that may be alive, and dead ones whose packs they may refer to. */
export function busyRuns({ runs }: Survey): ReadonlySet<string> {
  const alive = runs.filter(({ state }) => state !== "dead");
  return new Set(alive.flatMap(({ record, runId }) => [runId, ...(record?.takesOverFrom ?? [])]));
}

/** Packs that no restore point needs and no run that may be alive is writing, those only said to have moved among them. */
export function unneededPacks(survey: Survey): string[] {
  if (survey.unreadable.length > 0 || isCopyAtWork(survey)) return [];
  const busy = busyRuns(survey);
  const all = new Set([...survey.packs.keys(), ...survey.movedPacks]);
  return [...all].filter((pack) => !survey.needed.has(pack) && !busy.has(runOfPack(pack)));
}
