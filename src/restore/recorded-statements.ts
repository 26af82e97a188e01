// The statements of one entry together with its record: all of them and the record in one transaction, or those that
// succeed and a record of the errors. As without a record, one statement's failure does not keep the others from being tried.

import { entryError, type EntryError } from "./result.ts";
import type { RestoreRecord } from "./restore-record.ts";
import type { RestoreStatement } from "./statements.ts";
import type { RestoreWorker } from "./worker.ts";

/** An entry's statements, and errors that it has already. */
export interface RecordedStatements {
  readonly dumpId: number;
  readonly statements: readonly RestoreStatement[];
  /** Goes into the record besides the errors of statements. */
  readonly problem: EntryError | null;
}

/** Runs the statements outside of a transaction of the worker's; their errors are added to `errors`. */
export async function attemptRecorded(
  worker: RestoreWorker,
  record: RestoreRecord,
  { dumpId, statements, problem }: RecordedStatements,
  errors: EntryError[],
): Promise<void> {
  if (errors.length === 0 && problem === null) {
    // Statements in one message are one transaction, and one round trip.
    const all = [...statements.map(({ sql }) => sql), record.doneStatement(dumpId)].join("\n");
    if (await worker.attempt(all, "batch", [])) return;
  }
  await worker.run("BEGIN;");
  for (const { sql, purpose } of statements) {
    await worker.run("SAVEPOINT cairn_statement;");
    const isDone = await worker.attempt(sql, purpose, errors);
    await worker.run(isDone ? "RELEASE SAVEPOINT cairn_statement;" : "ROLLBACK TO SAVEPOINT cairn_statement;");
  }
  const all = problem === null ? errors : [...errors, problem];
  await worker.run(all.length === 0 ? record.doneStatement(dumpId) : record.failedStatement(dumpId, all));
  await worker.run("COMMIT;");
}

/** What keeps an entry from being restored whole, as an error of it. */
export function problemError(problem: string): EntryError {
  return entryError(new Error(problem), "definition");
}
