// What a user asserts of the restored data: queries that give one row with one value, true. They run read-only,
// and several statements in one are refused: only the last of them would be looked at, and COMMIT would end read-only.

import { isOperatingError, messageOf } from "../../base/errors.ts";
import { openSession, type ConnectionSettings, type Session } from "../../postgres/index.ts";
import type { OperationContext } from "../operation.ts";
import type { DrillReport } from "./types.ts";

const TIMEOUT_MS = 30 * 60 * 1000;
const BOOLEAN_OID = 16;

type Assertion = DrillReport["assertions"][number];

/** Runs each in a transaction of its own. */
export async function runAssertions(
  context: OperationContext,
  target: ConnectionSettings,
  assertions: readonly string[],
): Promise<Assertion[]> {
  if (assertions.length === 0) return [];
  await using session = await openSession(target, { signal: context.signal, applicationName: "cairn drill" });
  await session.query(`SET statement_timeout = ${TIMEOUT_MS};`);
  const results: Assertion[] = [];
  for (const sql of assertions) {
    const problem = await problemOf(session, sql, context.signal);
    results.push({ sql, isTrue: problem === null, problem });
  }
  return results;
}

async function problemOf(session: Session, sql: string, signal: AbortSignal): Promise<string | null> {
  await session.query("BEGIN READ ONLY;");
  try {
    const { columns, rows } = await session.queryOne(sql, { signal });
    if (rows.length !== 1) return `it gives ${rows.length} rows, not one`;
    if (columns.length !== 1 || columns[0]?.typeOid !== BOOLEAN_OID)
      return "it does not give one value of type boolean";
    const value = rows[0]?.[0] ?? null;
    return value === "t" ? null : `it is ${value === null ? "null" : "false"}`;
  } catch (error) {
    signal.throwIfAborted();
    if (!isOperatingError(error) || !session.isConnected) throw error;
    return messageOf(error);
  } finally {
    if (session.isConnected) await session.query("ROLLBACK;");
  }
}
