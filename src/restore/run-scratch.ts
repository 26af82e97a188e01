// Makes a scratch database: creates it under its provisional name, restores into it, and renames it when it is whole.
// One that is not whole keeps the provisional name; one that was broken off is dropped.

import type { ArchiveContents } from "../archive/index.ts";
import { messageOf, OperatingError } from "../base/errors.ts";
import { quoteLiteral, ServerError, type Session } from "../postgres/index.ts";
import type { RestoreResult } from "./result.ts";
import { runRestore, type RunOptions } from "./run.ts";
import type { LeftOut } from "./scratch-closure.ts";
import type { ScratchPlan } from "./scratch.ts";

/** What became of a scratch database. */
export interface ScratchResult {
  readonly restore: RestoreResult;
  /** The database's name now: provisional when the restore is not complete. */
  readonly database: string;
  readonly leftOut: readonly LeftOut[];
  readonly warnings: readonly string[];
}

interface ScratchOptions extends RunOptions {
  /** Throws when what was read cannot be relied on; the database is dropped then. */
  readonly checkSource?: () => Promise<void>;
}

/**
 * Makes a scratch database. `options.connect(null)` reaches any database of the target's server. Throws
 * OperatingError "target_not_empty" when a database of one of the two names is there already.
 */
export async function runScratch(
  contents: ArchiveContents,
  scratch: ScratchPlan,
  options: ScratchOptions,
): Promise<ScratchResult> {
  const signal = options.signal ?? new AbortController().signal;
  await using maintenance = await options.connect(null, signal);
  await refuseExisting(maintenance, scratch);
  const warnings = await createDatabase(maintenance, scratch);
  const restore = await restoreOrDrop(contents, scratch, { ...options, maintenance });
  if (restore.isComplete) await rename(maintenance, scratch);
  const database = restore.isComplete ? scratch.databaseName : scratch.incompleteName;
  return { restore, database, leftOut: scratch.leftOut, warnings };
}

async function restoreOrDrop(
  contents: ArchiveContents,
  scratch: ScratchPlan,
  options: ScratchOptions & { readonly maintenance: Session },
): Promise<RestoreResult> {
  const { maintenance } = options;
  try {
    const restore = await runRestore(contents, scratch.plan, {
      ...options,
      connect: (database, connectSignal) => options.connect(database ?? scratch.incompleteName, connectSignal),
    });
    await options.checkSource?.();
    return restore;
  } catch (error) {
    // Ours, and of no use: it was made a moment ago under a name that was free.
    const isDropped = await maintenance.query(scratch.dropStatement).then(
      () => true,
      () => false,
    );
    throw isDropped ? error : withDatabaseLeft(error, scratch);
  }
}

/** What broke the restore off, and what it left behind, which nobody would look for under that name. */
function withDatabaseLeft(error: unknown, scratch: ScratchPlan): unknown {
  if (!(error instanceof OperatingError)) return error;
  const left = `The database "${scratch.incompleteName}" could not be dropped and stays behind: ${scratch.dropStatement}`;
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
        hint: `Nobody may be connected to it: ${scratch.renameStatement}`,
        cause: error,
      },
    );
  }
}

async function refuseExisting(session: Session, scratch: ScratchPlan): Promise<void> {
  const names = [scratch.databaseName, scratch.incompleteName].map((name) => quoteLiteral(name)).join(", ");
  const { value } = await session.query(
    `SELECT datname FROM pg_catalog.pg_database WHERE datname IN (${names}) LIMIT 1;`,
  );
  if (value === null) return;
  throw new OperatingError("target_not_empty", `database "${value}" exists already`, {
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
