// Has the target's WAL flushed while rows are loaded, so that the connections that load them need not do it. A COPY fills
// the server's WAL buffers (4 MiB as they come) in a fraction of the 200 ms for which the walwriter sleeps, and then writes
// and syncs WAL itself. An empty message that is flushed (17 and later) has this session do it. For speed alone: what goes
// wrong here changes nothing. Source: PostgreSQL manual, pg_logical_emit_message; docs/decisions/0007.

import { setTimeout as delay } from "node:timers/promises";

import { MIB } from "../base/units.ts";
import type { RestoreTask } from "./plan.ts";
import type { ConnectTarget } from "./session.ts";

/** COPY text, as far as it is known; less is loaded before it matters. */
const LOADED_BYTES_MIN = 64 * MIB;

/** Between two flushes. */
const INTERVAL_MS = 10;

/** First server whose messages can be flushed. */
const FLUSH_MAJOR_MIN = 17;

/** What is loaded, and where. */
export interface LoadToHelp {
  readonly connect: ConnectTarget;
  readonly database: string;
  /** What is to be done; its COPYs count. */
  readonly tasks: readonly RestoreTask[];
  /** Resolves when the connections that load are open: they come first where connections are few. */
  readonly loadersOpen: Promise<unknown>;
  readonly signal: AbortSignal;
}

/** Runs `load`, and meanwhile keeps the WAL flushed over one more connection, where that is worth it. */
export async function withWalFlushed<T>(help: LoadToHelp, load: () => Promise<T>): Promise<T> {
  const copies = help.tasks.filter((task) => task.isWanted && task.load?.kind === "copy");
  if (copies.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) < LOADED_BYTES_MIN) return await load();
  const end = new AbortController();
  const flushing = keepFlushing(help, end.signal);
  try {
    return await load();
  } finally {
    end.abort();
    await flushing;
  }
}

async function keepFlushing({ connect, database, loadersOpen, signal }: LoadToHelp, end: AbortSignal): Promise<void> {
  try {
    await loadersOpen;
    if (end.aborted) return;
    await using session = await connect(database, AbortSignal.any([signal, end]));
    if (session.serverVersion.major < FLUSH_MAJOR_MIN) return;
    while (!end.aborted) {
      await session.query("SELECT pg_catalog.pg_logical_emit_message(false, 'cairn', '', true);", { signal });
      await delay(INTERVAL_MS, undefined, { signal: end });
    }
  } catch {
    // No connection to spare, or the end: the restore goes on as without it, and tells itself what is wrong with the server.
  }
}
