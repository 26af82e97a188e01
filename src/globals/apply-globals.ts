// Makes globals on a target, step by step, each statement by itself: CREATE TABLESPACE takes no transaction, and one role
// that cannot be made must not keep the others away. Errors are collected; none of them holds a password.

import { isOperatingError, messageOf } from "../base/errors.ts";
import { ServerError, type Session } from "../postgres/index.ts";
import type { Globals } from "./globals.ts";
import type { GlobalsPlan, GlobalsStep } from "./plan-globals.ts";

/** A step that failed. */
export interface GlobalsFailure {
  readonly subject: string;
  readonly error: string;
}

// Who reads the server's log should not find the hashes there. Only superusers may say so.
const QUIET_LOG = [
  "SET log_statement TO none",
  "SET log_min_error_statement TO panic",
  "SET log_min_duration_statement TO -1",
];

/** Runs the steps on a session that is for nothing else. Throws a lost connection, and the signal's reason. */
export async function applyGlobals(
  session: Session,
  plan: GlobalsPlan,
  options: { readonly source: Globals; readonly signal?: AbortSignal | undefined },
): Promise<readonly GlobalsFailure[]> {
  const { source, signal } = options;
  for (const statement of QUIET_LOG) await tolerate(session.query(statement, { signal }));
  await session.query(`SET client_encoding TO '${source.clientEncoding}'`, { signal });
  session.textEncoding = source.textEncoding;
  const failures: GlobalsFailure[] = [];
  for (const step of plan.steps) {
    const error = await runStep(session, step, signal);
    if (error !== null) failures.push({ subject: step.subject, error });
  }
  return failures;
}

async function runStep(session: Session, step: GlobalsStep, signal: AbortSignal | undefined): Promise<string | null> {
  try {
    for (const statement of step.statements) await session.query(statement, { signal });
    return null;
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    // The step may have become somebody else.
    await session.query("RESET SESSION AUTHORIZATION", { signal });
    return isOperatingError(error) && error.hint !== undefined
      ? `${messageOf(error)} (${error.hint})`
      : messageOf(error);
  }
}

async function tolerate(query: Promise<unknown>): Promise<void> {
  await query.catch((error: unknown) => {
    if (!(error instanceof ServerError)) throw error;
  });
}
