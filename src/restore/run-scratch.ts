// Makes a scratch database: creates it under its provisional name, restores into it, and renames it when it is whole.
// One that is not whole keeps the provisional name; one that an error has broken off too, and a later run may take it up
// (restore-record.ts); one that the user has broken off is dropped.

import type { ArchiveContents } from "../archive/index.ts";
import { messageOf, OperatingError } from "../base/errors.ts";
import { quoteLiteral, ServerError, type Session } from "../postgres/index.ts";
import { RestoreRecord, type RestoreIdentity } from "./restore-record.ts";
import type { RestoreResult } from "./result.ts";
import { runRestore, type RunOptions } from "./run.ts";
import type { LeftOut } from "./scratch-closure.ts";
import type { ScratchPlan } from "./scratch.ts";
import { openTargetSession } from "./session.ts";
import { objectsOfTarget } from "./target.ts";

/** What became of a scratch database. */
export interface ScratchResult {
  readonly restore: RestoreResult;
  /** The database's name now: provisional when the restore is not complete. */
  readonly database: string;
  readonly leftOut: readonly LeftOut[];
  readonly warnings: readonly string[];
  /** Entries of the restore that an earlier run had done. */
  readonly takenOverCount: number;
}

interface ScratchOptions extends RunOptions {
  readonly identity: RestoreIdentity;
  /** Go on with what an interrupted run has left. */
  readonly resumes?: boolean;
  /** Throws when what was read cannot be relied on; the database is dropped then. */
  readonly checkSource?: () => Promise<void>;
}

interface Making {
  readonly contents: ArchiveContents;
  readonly scratch: ScratchPlan;
  readonly options: ScratchOptions;
  readonly signal: AbortSignal;
  readonly maintenance: Session;
  /** The database's name at this moment. */
  readonly name: string;
}

/**
 * Makes a scratch database. `options.connect(null)` reaches any database of the target's server. Throws
 * OperatingError "target_not_empty" when a database of one of the two names is there already; when resuming, "usage"
 * when there is nothing to be taken up, and "locked" while somebody is at work in it.
 */
export async function runScratch(
  contents: ArchiveContents,
  scratch: ScratchPlan,
  options: ScratchOptions,
): Promise<ScratchResult> {
  const signal = options.signal ?? new AbortController().signal;
  await using maintenance = await options.connect(null, signal);
  const existing = await existingDatabases(maintenance, scratch);
  const making = { contents, scratch, options, signal, maintenance };
  if (options.resumes === true) {
    const made = await resume({ ...making, name: interruptedOf(existing, scratch) });
    return { ...made, warnings: [] };
  }
  refuseExisting(existing, scratch);
  const warnings = await createDatabase(maintenance, scratch);
  const made = await make({ ...making, name: scratch.incompleteName });
  return { ...made, warnings };
}

type Made = Omit<ScratchResult, "warnings">;

/** A database that is new: begins its record. */
async function make(making: Making): Promise<Made> {
  const { scratch, options, signal, maintenance } = making;
  let use: "none" | "resumable" | "whole" = "none";
  try {
    await using session = await openInside(making);
    const record = new RestoreRecord(session, scratch.recordSchema);
    await record.begin(options.identity);
    use = "resumable";
    const restore = await restoreInto(making, record);
    use = "none";
    await options.checkSource?.();
    use = "whole";
    return await finish(making, record, restore);
  } catch (error) {
    if (use === "whole") throw error;
    if (use === "resumable" && error instanceof OperatingError && !signal.aborted) {
      throw withDatabaseLeft(error, `holds what was restored so far. --resume goes on with it, or drop it:`, scratch);
    }
    // Ours, and of no use: it was made a moment ago under a name that was free.
    const isDropped = await maintenance.query(scratch.dropStatement).then(
      () => true,
      () => false,
    );
    throw isDropped ? error : withDatabaseLeft(error, "could not be dropped and stays behind:", scratch);
  }
}

/** A database that an interrupted run has left; it stays, whatever becomes of this one. */
async function resume(making: Making): Promise<Made> {
  const { scratch, options } = making;
  await using session = await openInside(making);
  const record = new RestoreRecord(session, scratch.recordSchema);
  if (!(await record.takeUp(scratch.plan, options.identity))) {
    await refuseUnrecorded(session);
    await record.begin(options.identity);
  }
  const restore = await restoreInto(making, record);
  await options.checkSource?.();
  return await finish(making, record, restore);
}

function openInside({ scratch, options, name, signal }: Making): Promise<Session> {
  return openTargetSession(scratch.plan, (_database, own) => options.connect(name, own), null, signal);
}

async function restoreInto(
  { contents, scratch, options, name }: Making,
  record: RestoreRecord,
): Promise<RestoreResult> {
  return await runRestore(contents, scratch.plan, {
    ...options,
    record,
    connect: (database, connectSignal) => options.connect(database ?? name, connectSignal),
  });
}

/** The name comes before the end of the record: who is interrupted in between finds what is to be removed. */
async function finish(making: Making, record: RestoreRecord, restore: RestoreResult): Promise<Made> {
  const { scratch, maintenance, options, signal, name } = making;
  const made = { restore, leftOut: scratch.leftOut, takenOverCount: record.takenCount };
  if (!restore.isComplete) {
    await record.remove();
    return { ...made, database: name };
  }
  await record.close();
  if (name !== scratch.databaseName) await rename(maintenance, scratch);
  await using session = await options.connect(scratch.databaseName, signal);
  await new RestoreRecord(session, scratch.recordSchema).remove();
  return { ...made, database: scratch.databaseName };
}

/** What broke the restore off, and what it left behind, which nobody would look for under that name. */
function withDatabaseLeft(error: unknown, what: string, scratch: ScratchPlan): unknown {
  if (!(error instanceof OperatingError)) return error;
  const left = `The database "${scratch.incompleteName}" ${what} ${scratch.dropStatement}`;
  return new OperatingError(error.code, error.message, {
    detail: error.detail === undefined ? left : `${error.detail} ${left}`,
    hint: error.hint,
    retryable: error.retryable,
    sqlState: error.sqlState,
    cause: error,
  });
}

/** A database that is whole is not dropped because somebody looks into it at this moment. */
async function rename(session: Session, scratch: ScratchPlan): Promise<void> {
  try {
    await session.query(scratch.renameStatement);
  } catch (error) {
    const name = scratch.incompleteName;
    throw new OperatingError(
      "query_failed",
      `the restore into "${name}" is whole, but it could not be renamed: ${messageOf(error)}`,
      {
        hint: "Nobody may be connected to it. Then the same command with --resume gives it its name.",
        cause: error,
      },
    );
  }
}

async function existingDatabases(session: Session, scratch: ScratchPlan): Promise<ReadonlySet<string>> {
  const names = [scratch.databaseName, scratch.incompleteName].map((name) => quoteLiteral(name)).join(", ");
  const { rows } = await session.query(`SELECT datname FROM pg_catalog.pg_database WHERE datname IN (${names});`);
  return new Set(rows.map(([name]) => name ?? ""));
}

function refuseExisting(existing: ReadonlySet<string>, scratch: ScratchPlan): void {
  const [name] = existing;
  if (name === undefined) return;
  const resuming =
    name === scratch.incompleteName ? "If it is of an interrupted restore, --resume goes on with it. " : "";
  throw new OperatingError("target_not_empty", `database "${name}" exists already`, {
    hint: `${resuming}Choose another name with --scratch=NAME, or drop that database if nobody needs it.`,
  });
}

/** The database to be taken up: under its provisional name, or under its own when only the record's end was missing. */
function interruptedOf(existing: ReadonlySet<string>, { databaseName, incompleteName }: ScratchPlan): string {
  if (existing.size === 1) return existing.has(incompleteName) ? incompleteName : databaseName;
  if (existing.size === 0) {
    throw new OperatingError("usage", `there is no database "${incompleteName}" of an interrupted restore`, {
      hint: "Say the name that was said then (--scratch=NAME), or begin without --resume.",
    });
  }
  throw new OperatingError("target_not_empty", `databases "${databaseName}" and "${incompleteName}" both exist`, {
    hint: "Rename or drop the first one: the other is to get its name.",
  });
}

/** Without a record nothing may be there yet: the run ended before its record began, or this is no restore of ours. */
async function refuseUnrecorded(session: Session): Promise<void> {
  const objects = await objectsOfTarget(session);
  if (objects.length === 0) return;
  throw new OperatingError("target_not_empty", `database "${session.settings.database}" has no record of a restore`, {
    detail: `It holds ${objects.join(", ")}. A restore that has ended leaves no record.`,
    hint: "Choose another name with --scratch=NAME, or drop that database if nobody needs it.",
  });
}

async function createDatabase(session: Session, scratch: ScratchPlan): Promise<readonly string[]> {
  const warnings: string[] = [];
  for (const [index, statement] of scratch.createStatements.entries()) {
    try {
      await session.query(statement);
      return warnings;
    } catch (error) {
      const isLast = index === scratch.createStatements.length - 1;
      if (isLast || !(error instanceof ServerError) || error.code === "insufficient_privilege") throw error;
      warnings.push(`the scratch database could not be made with the source's locale: ${error.message}`);
    }
  }
  return warnings;
}
