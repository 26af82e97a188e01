// A connection pooler in the way. A pooler makes up the BackendKeyData of the login, so the process id told there differs
// from pg_backend_pid(). Whether it pools transactions is seen with a second session: the two then share one
// server process, or the first one changes its process between two statements.

import { isOperatingError } from "../../base/errors.ts";
import { openSession } from "../../postgres/index.ts";
import type { Session } from "../../postgres/index.ts";
import type { Finding } from "./finding.ts";

/** A pool of one connection in session mode lets the second session wait for ever. */
const SECOND_SESSION_TIMEOUT_MS = 5_000;

const DIRECT_HINT =
  "Give the direct endpoint of the server (its own host and port, usually 5432) instead of the pooler's; on managed " +
  "services it is the connection string that does not say pooler.";

/** Looks for a pooler between us and the server. */
export async function checkPooler(session: Session, signal?: AbortSignal): Promise<Finding[]> {
  const processId = await backendProcessId(session, signal);
  if (processId === session.connection.processId) return [];
  if (await pools(session, processId, signal)) {
    return [
      {
        severity: "blocking",
        code: "pooler-transaction",
        message: "the connection goes through a pooler that does transaction pooling",
        detail:
          "Statements of one session run on different server processes, so that snapshots, SET and locks of a backup " +
          "do not hold.",
        hint: DIRECT_HINT,
      },
    ];
  }
  return [
    {
      severity: "info",
      code: "pooler",
      message: "the connection goes through a pooler or proxy that keeps one server process for each session",
      detail: "A backup works through it if its pool has connections enough for all readers.",
      hint: DIRECT_HINT,
    },
  ];
}

/** The finding for a connection to the pooler's own console, which is no database. */
export function poolerConsole(serverVersionText: string | undefined): Finding | null {
  if (!/bouncer|odyssey|pgcat/i.test(serverVersionText ?? "")) return null;
  return {
    severity: "blocking",
    code: "pooler-console",
    message: "the connection leads to the console of a connection pooler, not to a database",
    hint: DIRECT_HINT,
  };
}

async function backendProcessId(session: Session, signal: AbortSignal | undefined): Promise<number> {
  return Number((await session.query("SELECT pg_catalog.pg_backend_pid()", { signal })).value);
}

async function pools(session: Session, processId: number, signal: AbortSignal | undefined): Promise<boolean> {
  const second = await openSecond(session, signal);
  if (second === null) return false;
  try {
    const other = await withLimit(second, async () => {
      await second.query("BEGIN TRANSACTION READ ONLY");
      return await backendProcessId(second, signal);
    });
    if (other === null) return false;
    // The pooler gave the second session the process that the first one still uses.
    const isShared = other === processId || (await backendProcessId(session, signal)) !== processId;
    await second.query("ROLLBACK");
    return isShared;
  } finally {
    second.destroy();
  }
}

async function openSecond(session: Session, signal: AbortSignal | undefined): Promise<Session | null> {
  const settings = { ...session.settings, connectTimeoutMs: SECOND_SESSION_TIMEOUT_MS };
  try {
    return await openSession(settings, { applicationName: "cairn", signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (isOperatingError(error)) return null;
    throw error;
  }
}

/** Null when it takes too long or fails. */
async function withLimit<T>(second: Session, work: () => Promise<T>): Promise<T | null> {
  const timer = setTimeout(() => second.destroy(), SECOND_SESSION_TIMEOUT_MS);
  try {
    return await work();
  } catch (error) {
    if (isOperatingError(error)) return null;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
