// A connection pooler in the way. A pooler makes up the BackendKeyData of the login, so the process id told there differs
// from pg_backend_pid(). Whether it pools transactions is seen with a second session: the two then share one
// server process, or the first one changes its process between two statements; and statement pooling refuses BEGIN.

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
  const mode = await poolingMode(session, processId, signal);
  if (mode !== "session") {
    return [
      {
        severity: "blocking",
        code: `pooler-${mode}`,
        message: `the connection goes through a pooler that does ${mode} pooling`,
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

async function poolingMode(
  session: Session,
  processId: number,
  signal: AbortSignal | undefined,
): Promise<"session" | "transaction" | "statement"> {
  const second = await openSecond(session, signal);
  if (second === null) return "session";
  const timer = setTimeout(() => second.destroy(), SECOND_SESSION_TIMEOUT_MS);
  try {
    await second.query("BEGIN TRANSACTION READ ONLY", { signal });
    const other = await backendProcessId(second, signal);
    // The pooler gave the second session the process that the first one still uses, or moved the first one.
    const isShared = other === processId || (await backendProcessId(session, signal)) !== processId;
    return isShared ? "transaction" : "session";
  } catch (error) {
    signal?.throwIfAborted();
    if (!isOperatingError(error) || !session.isConnected) throw error;
    return /statement pooling/i.test(error.message) ? "statement" : "session";
  } finally {
    clearTimeout(timer);
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
