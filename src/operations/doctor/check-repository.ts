// The repository of the backups to come: reachable, opened with the key at hand, with room enough, nobody else at work.

import { isOperatingError, messageOf } from "../../base/errors.ts";
import { formatSize } from "../../base/units.ts";
import { fullSizeBytes, type Repository, type RestorePointSummary, type SeenRun } from "../../repository/index.ts";
import { describeRun } from "../describe-run.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext, RepositoryAccess } from "../operation.ts";
import type { Finding } from "./types.ts";

/** Sealed bytes for each byte of a database, when no earlier restore point tells; tables compress, indexes are left out. */
const SEALED_PART_OF_DATABASE = 0.5;

/** What is to be backed up. */
export interface RepositorySubject {
  readonly databaseName: string;
  /** Null: unknown. */
  readonly sizeBytes: number | null;
  /** The one that a backup continues unless --lineage names another. */
  readonly lineageName: string;
}

/** Findings on the repository; one that cannot be opened is blocking. */
export async function checkRepository(
  context: OperationContext,
  access: RepositoryAccess,
  subject: RepositorySubject,
): Promise<Finding[]> {
  const { signal } = context;
  try {
    await using repository = await openRepositoryAt(access);
    const findings = [openedFinding(repository)];
    const restorePoints = await readSummaries(repository, findings, signal);
    findings.push(...(await checkSpace(repository, restorePoints, subject)));
    findings.push(...(await checkRuns(repository, subject.lineageName, signal)));
    return findings;
  } catch (error) {
    signal.throwIfAborted();
    if (!isOperatingError(error)) throw error;
    const { message, detail, hint } = error;
    return [{ severity: "blocking", code: "repository", message, detail, hint }];
  }
}

function openedFinding(repository: Repository): Finding {
  const how = repository.isEncrypted ? "the key fits" : "it is not encrypted";
  return { severity: "ok", code: "repository", message: `repository ${repository.description} opens (${how})` };
}

async function readSummaries(
  repository: Repository,
  findings: Finding[],
  signal: AbortSignal,
): Promise<readonly RestorePointSummary[]> {
  return await repository.restorePoints({
    signal,
    onDamage: (objectName, error) => {
      findings.push({
        severity: "warning",
        code: "repository-damage",
        message: `manifest ${objectName} cannot be read: ${messageOf(error)}`,
        hint: "That restore point is lost unless a copy of the repository has it; a new backup does not need it.",
      });
    },
  });
}

/** At the worst everything is stored anew: as much as the newest restore point of the database holds. */
async function checkSpace(
  repository: Repository,
  restorePoints: readonly RestorePointSummary[],
  subject: RepositorySubject,
): Promise<Finding[]> {
  const freeBytes = await repository.freeSpaceBytes();
  if (freeBytes === null) return [];
  const newest = restorePoints.find(({ lineage }) => lineage.databaseName === subject.databaseName);
  const guessBytes = subject.sizeBytes === null ? null : Math.ceil(subject.sizeBytes * SEALED_PART_OF_DATABASE);
  const neededBytes = newest === undefined ? guessBytes : await fullSizeOf(repository, newest);
  if (neededBytes === null) return [];
  const free = `${formatSize(freeBytes)} free in ${repository.description}`;
  const needed = `a backup may need ${formatSize(neededBytes)}`;
  if (neededBytes <= freeBytes) return [{ severity: "ok", code: "repository-space", message: `${free}, ${needed}` }];
  return [
    {
      severity: "warning",
      code: "repository-space",
      message: `${free}, but ${needed}`,
      detail:
        newest === undefined
          ? "That is half of the database's size; how well it compresses is not known before the first backup."
          : `That is what restore point ${newest.id} takes without deltas; unchanged data is not stored again.`,
      hint: "Make room, or use a repository elsewhere.",
    },
  ];
}

async function fullSizeOf(repository: Repository, { id, totals }: RestorePointSummary): Promise<number> {
  try {
    return fullSizeBytes((await repository.openRestorePoint(id)).manifest);
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    return totals.sealedBytes;
  }
}

/** A living run of the lineage refuses a second one; see refuse-second-run.ts. */
async function checkRuns(repository: Repository, lineageName: string, signal: AbortSignal): Promise<Finding[]> {
  const runs = await repository.runs(signal);
  return runs.flatMap((run): Finding[] => {
    if (run.state === "dead") return [brokenOff(run)];
    const isSame = run.record?.lineageName === lineageName;
    if (run.state === "unknown") return isSame ? [perhapsBusy(run, lineageName)] : [];
    return [isSame ? busy(run, lineageName) : elsewhereBusy(run)];
  });
}

function busy(run: SeenRun, lineageName: string): Finding {
  return {
    severity: "blocking",
    code: "lineage-busy",
    message: `another backup of lineage "${lineageName}" is at work`,
    detail: `It is ${describeRun(run)}. A second one is refused as long as it lives (exit status 11).`,
    hint: "Wait for its end, or give the backup another lineage with --lineage.",
  };
}

function perhapsBusy(run: SeenRun, lineageName: string): Finding {
  return {
    severity: "info",
    code: "repository-run",
    message: `another backup of lineage "${lineageName}" may be at work: ${describeRun(run)}`,
    detail: "It is of another host or container. Both may run; but what both store is stored twice.",
  };
}

function elsewhereBusy(run: SeenRun): Finding {
  const lineageName = run.record?.lineageName ?? null;
  const what = lineageName === null ? "" : ` on lineage "${lineageName}"`;
  return {
    severity: "info",
    code: "repository-run",
    message: `another run is at work in the repository${what}: ${describeRun(run)}`,
  };
}

function brokenOff({ runId }: SeenRun): Finding {
  return {
    severity: "info",
    code: "repository-run",
    message: `run ${runId} ended without a restore point`,
    detail: "What it left behind is removed by the next backup.",
  };
}
