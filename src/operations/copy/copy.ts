// `cairn copy`: restore points of one repository into another, without reading the database again. What fails for one
// restore point is told by its name, and the others go on.

import { isOperatingError, OperatingError } from "../../base/errors.ts";
import type { Repository, RestorePointSummary } from "../../repository/index.ts";
import { refuseSecondRun } from "../backup/refuse-second-run.ts";
import { beginPhase, warn } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import { CopyReporter } from "./copy-reporter.ts";
import { findAgain, runsAtWork } from "./found-again.ts";
import { memberIds, selectRestorePoints } from "./select.ts";
import type { Candidate } from "./select.ts";
import type { CopyReport, CopyRow, CopySettings } from "./types.ts";

/** What concerns one restore point and not the storages. */
const OWN_FAILURES = ["corrupt", "not_found", "restore_point_not_found", "locked", "stalled"] as const;

/** Copies what the settings choose, oldest first. */
export async function runCopy(context: OperationContext, settings: CopySettings): Promise<CopyReport> {
  const beganMs = performance.now();
  beginPhase(context, "open", "opening both repositories");
  await using source = await openRepositoryAt(settings.from);
  await using target = await openRepositoryAt(settings.to);
  refuseSenseless(source, target, settings);
  beginPhase(context, "select", "looking which restore points are missing");
  const candidates = await selectRestorePoints(source, settings, context.signal);
  const atWork = await runsAtWork(target, context.signal);
  const there = await readTarget(context, target);
  const copying: Copying = { context, settings, source, target, atWork, there, rows: [], warnings: [], reporter: new CopyReporter(context, candidates.length) }; // prettier-ignore
  for (const candidate of candidates) copying.rows.push(await settle(copying, candidate));
  return { ...reportOf(copying), durationMs: Math.round(performance.now() - beganMs) };
}

interface Copying {
  readonly context: OperationContext;
  readonly settings: CopySettings;
  readonly source: Repository;
  readonly target: Repository;
  /** Runs of the target that were at work before it was looked what it has. */
  readonly atWork: ReadonlySet<string>;
  /** What the target has, by id; null: its manifest cannot be read. */
  readonly there: ReadonlyMap<string, RestorePointSummary | null>;
  readonly rows: CopyRow[];
  readonly warnings: string[];
  readonly reporter: CopyReporter;
}

function refuseSenseless(source: Repository, target: Repository, { allowsUnencrypted }: CopySettings): void {
  if (source.description === target.description) {
    throw new OperatingError("usage", `${source.description} cannot be copied into itself`);
  }
  if (!source.isEncrypted || target.isEncrypted || allowsUnencrypted) return;
  throw new OperatingError("usage", `the repository in ${target.description} is not encrypted, the other one is`, {
    detail: "Who can reach it could read all that is copied, passwords of roles among it.",
    hint: "Copy into an encrypted repository, or say --allow-unencrypted if it is meant.",
  });
}

async function readTarget(
  context: OperationContext,
  target: Repository,
): Promise<ReadonlyMap<string, RestorePointSummary | null>> {
  const there = new Map<string, RestorePointSummary | null>();
  const onDamage = (objectName: string): void => {
    there.set(objectName.slice(objectName.lastIndexOf("/") + 1), null);
  };
  for (const summary of await target.restorePoints({ signal: context.signal, onDamage })) {
    there.set(summary.id, summary);
  }
  return there;
}

/** One restore point: found there, copied, or failed. */
async function settle(copying: Copying, candidate: Candidate): Promise<CopyRow> {
  const { context, settings, there } = copying;
  const { id, problem, summary } = candidate;
  context.signal.throwIfAborted();
  const row = rowOf(candidate);
  if (summary === null) return { ...row, failure: problem?.message ?? "its manifest cannot be read" };
  const found = there.get(id);
  if (found !== undefined && (found === null || !copying.atWork.has(found.runId))) {
    return await rowOfFound(copying, { row, summary, found });
  }
  if (found !== undefined) return await rowOfTaken(copying, { row, summary });
  const failure = memberFailure(copying, summary);
  if (failure !== null) return { ...row, failure };
  if (settings.isDryRun) return { ...row, outcome: "to be copied" };
  try {
    return { ...row, ...(await copyOne(copying, summary)) };
  } catch (error) {
    context.signal.throwIfAborted();
    if (isOperatingError(error, "repository_exists")) return await rowOfTaken(copying, { row, summary });
    if (!isOperatingError(error) || !OWN_FAILURES.some((code) => code === error.code)) throw error;
    warn(context, { message: `could not copy ${id}: ${error.message}`, detail: error.detail, hint: error.hint });
    return { ...row, failure: error.message };
  }
}

function rowOf({ id, lineageKey, summary }: Candidate): CopyRow {
  return {
    id,
    lineage: summary?.lineage.name ?? lineageKey,
    snapshotTakenAt: summary?.snapshotAt ?? null,
    isCluster: summary?.cluster !== undefined,
    outcome: "failed",
    failure: null,
    sealedBytes: summary?.totals.sealedBytes ?? 0,
    newBytes: 0,
    movedPackCount: 0,
    resealedChunkCount: 0,
    movedBytes: 0,
    resealedBytes: 0,
  };
}

interface Found {
  readonly row: CopyRow;
  readonly summary: RestorePointSummary;
  readonly found: RestorePointSummary | null;
}

/** Of a name that another run has taken: the restore point is only there when that run leaves it. */
async function rowOfTaken(copying: Copying, { row, summary }: Omit<Found, "found">): Promise<CopyRow> {
  const { context, target } = copying;
  const again = await findAgain(target, row.id, context.signal);
  if (again.state === "there") return await rowOfFound(copying, { row, summary, found: again.summary });
  if (again.state === "unreadable") return await rowOfFound(copying, { row, summary, found: null });
  const failure =
    again.state === "gone"
      ? `another run began to write it to ${target.description}, and it is gone again`
      : `another run is writing it to ${target.description}, and may yet withdraw it`;
  warn(context, { message: `did not copy ${row.id}: ${failure}`, hint: "Copy again once that run has ended." });
  return { ...row, failure };
}

async function rowOfFound(copying: Copying, { found, row, summary }: Found): Promise<CopyRow> {
  const { context, target, warnings } = copying;
  if (found === null) {
    return { ...row, failure: `${target.description} has it already, but its manifest there cannot be read` };
  }
  const isSame = found.lineage.name === summary.lineage.name && found.snapshotAt === summary.snapshotAt;
  if (!isSame) return { ...row, failure: `${target.description} has another restore point of that id` };
  if ((await target.verifies(row.id, context.signal)).at(-1)?.isWhole === false) {
    const message = `${row.id} is there already, but its last verify found damage`;
    warnings.push(
      warn(context, { message, hint: "The next backup or copy of its lineage stores anew what is damaged." }),
    );
  }
  return { ...row, outcome: "already there" };
}

/** Why the restore point of a whole server cannot be copied: one that it names was not; null when all are there. */
function memberFailure(
  { context, rows, source, there, warnings }: Copying,
  summary: RestorePointSummary,
): string | null {
  const outcomes = new Map(rows.map(({ id, outcome }) => [id, outcome]));
  for (const id of memberIds(summary)) {
    if (outcomes.get(id) === "failed") return `restore point ${id}, which it names, could not be copied`;
    if (outcomes.has(id) || there.has(id)) continue;
    const message = `restore point ${id}, which ${summary.id} names, is gone from ${source.description}`;
    warnings.push(warn(context, { message, hint: "The copy names it too; a restore says what is missing." }));
  }
  return null;
}

async function copyOne(copying: Copying, summary: RestorePointSummary): Promise<Partial<CopyRow>> {
  const { context, reporter, source, target, warnings } = copying;
  const lineageName = summary.lineage.name;
  warnings.push(...(await refuseSecondRun(context, target, { lineageName, runId: null })));
  reporter.begin(summary);
  const done = await target.copyFrom(source, summary.id, {
    signal: context.signal,
    onStarted: async (runId) => void (await refuseSecondRun(context, target, { lineageName, runId })),
    onProgress: (progress) => reporter.report(progress),
  });
  const { movedBytes, movedPackCount, resealedBytes, resealedChunkCount } = done;
  const newBytes = done.summary.totals.newBytes;
  return { outcome: "copied", newBytes, movedPackCount, movedBytes, resealedChunkCount, resealedBytes };
}

function reportOf(copying: Copying): Omit<CopyReport, "durationMs"> {
  const { rows, settings, source, target, warnings } = copying;
  const count = (wanted: readonly CopyRow["outcome"][]): number => {
    return rows.filter(({ outcome }) => wanted.includes(outcome)).length;
  };
  const sum = (valueOf: (row: CopyRow) => number): number => {
    return rows.reduce((total, row) => total + valueOf(row), 0);
  };
  return {
    from: source.description,
    to: target.description,
    isAlike: target.isLike(source),
    isDryRun: settings.isDryRun,
    copiedCount: count(["copied", "to be copied"]),
    alreadyThereCount: count(["already there"]),
    failedCount: count(["failed"]),
    movedPackCount: sum((row) => row.movedPackCount),
    movedBytes: sum((row) => row.movedBytes),
    resealedChunkCount: sum((row) => row.resealedChunkCount),
    resealedBytes: sum((row) => row.resealedBytes),
    bytesRead: source.transfer.bytesRead,
    bytesWritten: target.transfer.bytesWritten,
    restorePoints: rows,
    warnings,
  };
}
