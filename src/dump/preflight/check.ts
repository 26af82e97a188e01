// How a check runs: in a short read-only transaction of its own with its own time limits, so that nothing of it stays
// behind in the session (which may be one that a pooler shares). A check that fails becomes a warning.

import { isUtf8 } from "node:buffer";

import { isOperatingError, messageOf } from "../../base/errors.ts";
import type { Session } from "../../postgres/index.ts";
import type { Finding } from "./finding.ts";

/** Longest that one statement of a check may run, and wait for a lock. */
const STATEMENT_TIMEOUT_MS = 60_000;
const LOCK_TIMEOUT_MS = 5_000;

/** Rows as text. */
export type Rows = readonly (readonly (string | null)[])[];

/** Asks the server; every name that is not qualified is one of pg_catalog. */
export type Ask = (sql: string) => Promise<Rows>;

/** One check. */
export interface Check {
  /** Completes "could not check …". */
  readonly subject: string;
  run(ask: Ask): Promise<readonly Finding[]>;
}

/** Runs a check. Throws only when the session is lost or the signal is aborted. */
export async function runCheck(session: Session, check: Check, signal?: AbortSignal): Promise<readonly Finding[]> {
  try {
    return await inTransaction(session, signal, (ask) => check.run(ask));
  } catch (error) {
    signal?.throwIfAborted();
    if (!session.isConnected || !isOperatingError(error)) throw error;
    return [uncheckedFinding(check.subject, error)];
  }
}

/** Runs `work` in a read-only transaction with search_path pg_catalog; rolled back when it fails. */
export async function inTransaction<T>(
  session: Session,
  signal: AbortSignal | undefined,
  work: (ask: Ask) => Promise<T>,
): Promise<T> {
  // Names in such a database may be no valid UTF-8, and the server then refuses to send them as that.
  const isRaw = session.connection.parameters.get("server_encoding") === "SQL_ASCII";
  const textEncoding = session.textEncoding;
  // A message is read as a whole before any of it is done: quotes and encoding must be the right ones from the start.
  const isPlain = !isRaw && session.connection.parameters.get("standard_conforming_strings") === "on";
  let isBegun = false;
  const query = async (sql: string): Promise<Rows> => {
    isBegun = true;
    return (await session.query(Buffer.from(sql), { signal })).rows;
  };
  const ask: Ask = async (sql) => {
    if (!isBegun && isPlain) return await query(`${beginStatements(isRaw)};\n${sql}`);
    if (!isBegun) await query(beginStatements(isRaw));
    const rows = await query(sql);
    return isRaw ? rows.map((row) => row.map(decodeBytes)) : rows;
  };
  try {
    if (isRaw) session.textEncoding = "latin1";
    const result = await work(ask);
    if (isBegun) await session.query("COMMIT");
    return result;
  } catch (error) {
    if (isBegun && session.isConnected) await session.query("ROLLBACK").catch(() => {}); // what failed first is thrown
    throw error;
  } finally {
    session.textEncoding = textEncoding;
  }
}

function beginStatements(isRaw: boolean): string {
  return `BEGIN TRANSACTION READ ONLY;
    SET LOCAL search_path TO pg_catalog, pg_temp;
    SET LOCAL statement_timeout TO ${STATEMENT_TIMEOUT_MS};
    SET LOCAL lock_timeout TO ${LOCK_TIMEOUT_MS};
    SET LOCAL standard_conforming_strings TO on;
    SET LOCAL DateStyle TO ISO;
    SET LOCAL TimeZone TO 'UTC'${isRaw ? "; SET LOCAL client_encoding TO SQL_ASCII" : ""}`;
}

/** Bytes (as latin1) as the UTF-8 that they nearly always are, else one character for each. */
function decodeBytes(value: string | null): string | null {
  if (value === null) return null;
  const bytes = Buffer.from(value, "latin1");
  return isUtf8(bytes) ? bytes.toString("utf8") : value;
}

/** An SQL expression of a time as "2026-11-22 10:00:05Z". to_char() would look up the names of months: see snapshot-facts.ts. */
export function timeText(expression: string): string {
  return `replace(date_trunc('second', ${expression})::text, '+00', 'Z')`;
}

/** The warning for a check that could not be made. */
export function uncheckedFinding(subject: string, error: unknown): Finding {
  return {
    severity: "warning",
    code: "unchecked",
    message: `could not check ${subject}: ${messageOf(error)}`,
    hint: isOperatingError(error) ? error.hint : undefined,
  };
}
