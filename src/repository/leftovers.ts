// What runs that died left behind: their records, packs that no restore point needs, unfinished files.
// Naming them changes nothing. Removing packs is prune's work; a new run removes only what its dead writer left unfinished.

import type { Leftover } from "../storage/index.ts";
import type { RepositoryContext } from "./context.ts";
import { mapAhead } from "./context.ts";
import { isPackName, packObjectName, PACKS_PREFIX, runOfPack } from "./identifiers.ts";
import { isDamage } from "./restore-point.ts";
import type { RunObserver, SeenRun } from "./run-record.ts";

const MANIFESTS_AHEAD = 4;

/** A pack that no restore point refers to and no run that may be alive is writing. */
export interface OrphanPack {
  readonly name: string;
  readonly objectName: string;
  readonly runId: string;
  readonly sizeBytes: number;
}

export interface Leftovers {
  /** Runs that are dead, or of which this host cannot tell. */
  readonly runs: readonly SeenRun[];
  readonly packs: readonly OrphanPack[];
  readonly unfinished: readonly Leftover[];
  /** Manifests that could not be read: while there are any, no pack is called an orphan. */
  readonly unreadable: readonly string[];
}

/** Names all left-overs. `packsOf` gives the packs of a manifest. */
export async function findLeftovers(
  context: RepositoryContext,
  observer: RunObserver,
  manifests: { readonly names: readonly string[]; packsOf(name: string): Promise<readonly string[]> },
  signal?: AbortSignal,
): Promise<Leftovers> {
  const runs = await observer.runs(signal);
  const needed = new Set<string>();
  const unreadable: string[] = [];
  const reads = mapAhead(manifests.names, MANIFESTS_AHEAD, async (name) => {
    signal?.throwIfAborted();
    try {
      for (const pack of await manifests.packsOf(name)) needed.add(pack);
    } catch (error) {
      if (!isDamage(error)) throw error;
      unreadable.push(name);
    }
  });
  for await (const _ of reads);
  const isOrphan = unreadable.length === 0;
  const busy = new Set(runs.filter((run) => run.state !== "dead").map((run) => run.runId));
  const packs: OrphanPack[] = [];
  for await (const { name: objectName, sizeBytes } of context.storage.list(PACKS_PREFIX, signal)) {
    const name = objectName.slice(objectName.lastIndexOf("/") + 1);
    if (!isOrphan || !isPackName(name) || packObjectName(name) !== objectName || needed.has(name)) continue;
    if (!busy.has(runOfPack(name))) packs.push({ name, objectName, runId: runOfPack(name), sizeBytes });
  }
  const unfinished: Leftover[] = [];
  for await (const leftover of context.storage.leftovers(signal)) unfinished.push(leftover);
  return { runs: runs.filter((run) => run.state !== "alive"), packs, unfinished, unreadable };
}

/** Removes unfinished files and records whose writers are certainly dead. Never fails a run: what stays is named again. */
export async function removeDeadLeftovers(
  context: RepositoryContext,
  observer: RunObserver,
  signal?: AbortSignal,
): Promise<void> {
  const tidy = async (work: () => Promise<void>): Promise<void> => {
    await work().catch(() => undefined);
    signal?.throwIfAborted();
  };
  await tidy(async () => {
    for await (const { isDead, name } of context.storage.leftovers(signal)) {
      if (isDead) await context.storage.deleteLeftover(name, signal);
    }
  });
  await tidy(async () => {
    for (const run of await observer.runs(signal)) if (run.state === "dead") await observer.remove(run.runId, signal);
  });
}
