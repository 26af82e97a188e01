// What runs that died left behind: their records, packs that no restore point needs, unfinished files.
// Naming them changes nothing. Removing packs is prune's work; a new run removes only what its dead writer left unfinished.

import { isOperatingError } from "../base/errors.ts";
import type { Leftover } from "../storage/index.ts";
import type { RepositoryContext } from "./context.ts";
import { packObjectName, runOfPack } from "./identifiers.ts";
import { COPY_KIND } from "./retention/kinds.ts";
import { surveyRepository, unneededPacks } from "./prune/survey.ts";
import type { NeedsReader } from "./prune/survey.ts";
import type { RunObserver, SeenRun } from "./run-record.ts";

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
  /** Null: they could not be looked at, for want of the right to. */
  readonly unfinished: readonly Leftover[] | null;
  /** Manifests that could not be read: while there are any, no pack is called an orphan. */
  readonly unreadable: readonly string[];
}

/** Names all left-overs. */
export async function findLeftovers(
  context: RepositoryContext,
  observer: RunObserver,
  signal?: AbortSignal,
  reader?: NeedsReader,
): Promise<Leftovers> {
  const survey = await surveyRepository(context, observer, signal, reader);
  const packs = unneededPacks(survey).map((name): OrphanPack => {
    const sizeBytes = survey.packs.get(name) ?? 0;
    return { name, objectName: packObjectName(name), runId: runOfPack(name), sizeBytes };
  });
  const unfinished = await findUnfinished(context, signal);
  return { runs: survey.runs.filter((run) => run.state !== "alive"), packs, unfinished, unreadable: survey.unreadable };
}

async function findUnfinished(context: RepositoryContext, signal: AbortSignal | undefined): Promise<Leftover[] | null> {
  const unfinished: Leftover[] = [];
  try {
    for await (const leftover of context.storage.leftovers(signal)) unfinished.push(leftover);
    return unfinished;
  } catch (error) {
    if (isOperatingError(error, "permission_denied")) return null;
    throw error;
  }
}

/** Kinds of runs whose packs a later run of their lineage may take over. */
export const TAKEN_OVER_KINDS: ReadonlySet<string> = new Set(["backup", "import", COPY_KIND]);
/** Packs become durable out of order, but none of these is missing when later ones are there. */
const FIRST_PACKS = 4;

/**
 * Removes unfinished files and records whose writers are certainly dead; the record of one that left packs which its
 * lineage's next run can take over stays with them. Never fails a run: what stays is named again.
 */
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
    const dead = (await observer.runs(signal)).filter(({ state }) => state === "dead");
    for (const run of dead) {
      if (await hasPacks(context, run, signal)) await observer.declareDead(run, signal);
      else await observer.remove(run.runId, signal);
    }
  });
}

/** True when the first or the last packs of a dead run are there, and may be taken over. */
async function hasPacks(
  context: RepositoryContext,
  { record, runId }: SeenRun,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (record === null || record.lineageName === null || !TAKEN_OVER_KINDS.has(record.kind)) return false;
  const { packCount = 0 } = record;
  const first = Array.from({ length: FIRST_PACKS }, (_, number) => number);
  const last = first.map((number) => packCount - 1 - number).filter((number) => number >= FIRST_PACKS);
  for (const number of [...first, ...last]) {
    if ((await context.storage.head(packObjectName(`${runId}-${number}`), signal)) !== null) return true;
  }
  return false;
}
