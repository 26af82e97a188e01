// What a reader's failure means: which table or large objects it was reading, and for a value that is too large to be
// sent, in which row it stands.
// Source: PostgreSQL manual, "PostgreSQL Error Codes"; memutils.h, MaxAllocSize (1 GB less one byte).

import { OperatingError, type ErrorCode } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import type { Session } from "../postgres/index.ts";
import type { TransferredError } from "./reader-messages.ts";
import type { TablePlan } from "./segment-plan.ts";
import type { PlannedTask, TableTask } from "./task-list.ts";

const SERIALIZATION_FAILURE = "40001";

/** A reader's error in the server's words, with the task that it belongs to. */
export class ReadFailure extends OperatingError {
  readonly task: PlannedTask | null;

  constructor(error: TransferredError | OperatingError, task: PlannedTask | null) {
    const what = task === null ? "data" : describeTask(task);
    super((error.code as ErrorCode | null) ?? "internal", `could not read ${what}: ${error.message}`, {
      detail: error.detail ?? undefined,
      hint: error.hint ?? undefined,
      sqlState: error.sqlState ?? undefined,
      retryable: error.code === "connection_lost",
    });
    this.task = task;
  }
}

function describeTask(task: PlannedTask): string {
  if (task.kind === "large-objects") return `large objects ${task.bucket.oids[0]} and following`;
  const { namespace, name } = task.table.relation;
  const segment = task.table.segments[task.segmentIndex]!;
  return `table "${namespace}"."${name}" from block ${segment.firstBlock} on`;
}

const RECOVERY_CONFLICT_HINT =
  "Set hot_standby_feedback = on at the standby, or raise its max_standby_streaming_delay (max_standby_archive_delay " +
  "where it replays from an archive) above the time that a backup takes; or back up the primary.";

/** A standby's cancellation in the words of its cure: in a transaction that only reads, nothing else fails like this. */
export function explainRecoveryConflict(error: unknown, isStandby: boolean): unknown {
  if (!isStandby || !(error instanceof OperatingError) || error.sqlState !== SERIALIZATION_FAILURE) return error;
  return new OperatingError(error.code, error.message, {
    detail: error.detail ?? "What the standby replays removes rows that the backup's snapshot still sees.",
    hint: RECOVERY_CONFLICT_HINT,
    sqlState: error.sqlState,
    retryable: true,
    cause: error,
  });
}

/** True when the server could not make the text of a row because it would pass its limit for one piece of memory. */
export function isTooLarge(error: unknown): error is ReadFailure & { readonly task: TableTask } {
  if (!(error instanceof ReadFailure) || error.task?.kind !== "table") return false;
  if (error.sqlState === "54000") return true;
  return error.sqlState === "XX000" && error.message.includes("invalid memory alloc request size");
}

/** Naming the row is a courtesy: it may not keep a failed run from ending. */
const SEARCH_TIMEOUT_MS = 10 * 60_000;

/**
 * "value_too_large" with the row's place; `holder` is a session in the same snapshot, null when it is busy. Throws the
 * signal's reason.
 */
export async function nameLargeRow(
  holder: Session | null,
  failure: ReadFailure & { readonly task: TableTask },
  signal: AbortSignal,
): Promise<OperatingError> {
  const { table, segmentIndex } = failure.task;
  const { namespace, name } = table.relation;
  const row = holder === null ? null : await findLargestRow(holder, { table, segmentIndex, signal });
  const where = row === null ? "" : ` at ctid ${row.ctid}`;
  return new OperatingError(
    "value_too_large",
    `could not read table "${namespace}"."${name}": a row${where} is too large to be sent`,
    {
      detail:
        row === null
          ? undefined
          : `Its text takes about ${formatSize(row.sizeBytes)}; the server sends less than 1 GiB for a row.`,
      hint:
        "Split the value (the text of a bytea is twice as long as the value), or leave the rows of the table out with " +
        "--exclude-table-data. pg_dump cannot read the row either.",
      sqlState: failure.sqlState,
      cause: failure,
    },
  );
}

/** Sizes as far as they are known without reading the values. */
const SIZE_EXPRESSION_QUERY = `
SELECT pg_catalog.string_agg(pg_catalog.format(CASE WHEN t.typname = 'bytea' THEN 'coalesce(2 * octet_length(%1$I)::bigint, 0)'
         WHEN t.typcategory = 'S' THEN 'coalesce(octet_length(%1$I)::bigint, 0)'
         ELSE 'coalesce(pg_column_size(%1$I)::bigint, 0)' END, a.attname), ' + ')
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
 WHERE a.attrelid = OID AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attlen = -1`;

interface Search {
  readonly table: TablePlan;
  readonly segmentIndex: number;
  readonly signal: AbortSignal;
}

interface FoundRow {
  readonly ctid: string;
  readonly sizeBytes: number;
}

/** Null when the server cannot say which it is, or not in time: the failure is reported without it. */
async function findLargestRow(holder: Session, search: Search): Promise<FoundRow | null> {
  const signal = AbortSignal.any([search.signal, AbortSignal.timeout(SEARCH_TIMEOUT_MS)]);
  try {
    return await askForLargestRow(holder, { ...search, signal });
  } catch {
    search.signal.throwIfAborted();
    return null;
  }
}

async function askForLargestRow(holder: Session, { table, segmentIndex, signal }: Search): Promise<FoundRow | null> {
  holder.textEncoding = "latin1"; // names go back as they came, whatever the encoding
  const sizes = await holder.query(SIZE_EXPRESSION_QUERY.replace("OID", String(table.relation.oid)), { signal });
  const expression = sizes.rows[0]?.[0];
  if (expression === null || expression === undefined || table.quotedName === null) return null;
  const { firstBlock, blockCount } = table.segments[segmentIndex]!;
  const upper = blockCount === null ? "" : ` AND ctid < '(${firstBlock + blockCount},0)'`;
  const { rows } = await holder.query(
    `SELECT ctid, ${expression} FROM ONLY ${table.quotedName} WHERE ctid >= '(${firstBlock},0)'${upper} ORDER BY 2 DESC LIMIT 1`,
    { signal },
  );
  const row = rows[0];
  return row === undefined ? null : { ctid: row[0]!, sizeBytes: Number(row[1]) };
}
