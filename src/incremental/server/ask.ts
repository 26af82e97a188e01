// How the server is asked: in a short read-only transaction with its own time limits and nothing but pg_catalog on the
// search path, so that nothing stays behind in the session and no function of a user's is called. What the server refuses
// is no failure of a backup: it is a reason to read everything.

import { isOperatingError, messageOf, OperatingError } from "../../base/errors.ts";
import { formatDuration } from "../../base/units.ts";
import type { Session } from "../../postgres/index.ts";

/** Longest that one question may take, and wait for a lock; none of them takes a lock on a user's table. */
const STATEMENT_TIMEOUT_MS = 120_000;
const LOCK_TIMEOUT_MS = 5_000;

/** Longest that an answer is waited for here: a server or network that is silent keeps no limit of its own. */
const ANSWER_LIMIT_MS = 150_000;
const ROLLBACK_LIMIT_MS = 5_000;

/** What the server told, or why it did not. */
export type Answer<T> =
  | { readonly kind: "known"; readonly value: T }
  | { readonly kind: "unknown"; readonly reason: string };

/** Rows as text. */
export type Rows = readonly (readonly (string | null)[])[];

const BEGIN = `BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY;
SET LOCAL search_path TO pg_catalog, pg_temp;
SET LOCAL statement_timeout TO ${STATEMENT_TIMEOUT_MS};
SET LOCAL lock_timeout TO ${LOCK_TIMEOUT_MS};
SET LOCAL DateStyle TO ISO;
SET LOCAL IntervalStyle TO postgres;
SET LOCAL TimeZone TO 'UTC';
SET LOCAL bytea_output TO hex;
SET LOCAL extra_float_digits TO 3;
SET LOCAL jit TO off;
SET LOCAL quote_all_identifiers TO off;
SET LOCAL standard_conforming_strings TO on`;

/** The rows of one query, asked of a session that is in no transaction. Throws what the server says. */
export async function ask(session: Session, sql: string, signal: AbortSignal): Promise<Rows> {
  try {
    const { all } = await withinLimit(session, () => session.query(`${BEGIN};\n${sql};\nCOMMIT`, { signal }));
    return all.at(-2)!.rows; // before COMMIT
  } catch (error) {
    if (session.isConnected) {
      const undone = withinLimit(session, () => session.query("ROLLBACK"), ROLLBACK_LIMIT_MS);
      await undone.catch(() => {}); // what failed first is thrown
    }
    throw error;
  }
}

/** What `work` gives with the session. One that has not answered by the limit is cut off: "stalled". */
export async function withinLimit<T>(
  session: Session,
  work: () => Promise<T>,
  limitMs: number = ANSWER_LIMIT_MS,
): Promise<T> {
  let isOver = false;
  const timer = setTimeout(() => {
    isOver = true;
    session.destroy();
  }, limitMs);
  try {
    return await work();
  } catch (error) {
    if (!isOver || !isOperatingError(error, "connection_lost")) throw error;
    const message = `the server gave no answer for ${formatDuration(limitMs)}`;
    throw new OperatingError("stalled", message, { retryable: true, cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** What `work` gives, or the server's refusal as a reason; a lost connection and an abort are thrown. */
export async function answerOf<T>(subject: string, signal: AbortSignal, work: () => Promise<T>): Promise<Answer<T>> {
  try {
    return { kind: "known", value: await work() };
  } catch (error) {
    signal.throwIfAborted();
    if (!isOperatingError(error) || error.sqlState === undefined || error.code === "connection_lost") throw error;
    return { kind: "unknown", reason: `${subject} could not be read: ${messageOf(error)}` };
  }
}

/** `ARRAY[…]::oid[]` of numbers. */
export function oidArray(oids: readonly number[]): string {
  return `ARRAY[${oids.join(",")}]::pg_catalog.oid[]`;
}

/** A column that the query never leaves null. */
export function textOf(row: readonly (string | null)[], index: number): string {
  const value = row[index];
  if (value === null || value === undefined) throw new TypeError(`column ${index} of an answer is missing`);
  return value;
}
