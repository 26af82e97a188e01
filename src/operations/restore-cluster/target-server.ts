// The server that a cluster is restored to, looked at before the first statement: old enough, no standby, and none of the
// databases there with something in it.

import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { openSession, resolveConnection, type ConnectionSettings, type Session } from "../../postgres/index.ts";
import type { Manifest } from "../../repository/index.ts";
import { objectsOfTarget } from "../../restore/index.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";

const DATABASE_MISSING = "3D000";
const SERVER_MAJOR_MIN = 13;
const DATABASES_SHOWN_MAX = 20;

/** Connects to the database that the target names, else to "postgres", else to "template1". */
export async function connectToTarget(context: OperationContext, target: string): Promise<Session> {
  const { environment, homeDirectory, userName, signal } = context;
  const connect = async (dbname: string): Promise<Session> => {
    const caller = { environment, homeDirectory, userName };
    const settings = await resolveConnection({ source: target, ...caller, fallback: { dbname } });
    return await openTarget(withoutReadOnly(settings), signal);
  };
  try {
    return await connect("postgres");
  } catch (error) {
    if (!isOperatingError(error) || error.sqlState !== DATABASE_MISSING) throw error;
    return await connect("template1");
  }
}

/** A session in a database of the target. */
export async function openTarget(settings: ConnectionSettings, signal: AbortSignal): Promise<Session> {
  return await openSession(settings, { signal, applicationName: "cairn restore" });
}

/** A role or database may be read-only by a setting of its own, which comes before its tables. */
function withoutReadOnly(settings: ConnectionSettings): ConnectionSettings {
  const options = `${settings.options ?? ""} -c default_transaction_read_only=off`.trim();
  return { ...settings, options };
}

/** Throws "server_version_unsupported", "preflight_failed" for a standby, "usage" for an older major that was not allowed. */
export async function checkServer(
  context: OperationContext,
  session: Session,
  { source, allowsOlderServer }: { readonly source: Manifest["source"]; readonly allowsOlderServer: boolean },
): Promise<void> {
  const { major } = session.serverVersion;
  if (major < SERVER_MAJOR_MIN) {
    throw new OperatingError("server_version_unsupported", `the target is a server of version ${major}`, {
      hint: "Restore into PostgreSQL 13 or newer.",
    });
  }
  if ((await session.query("SELECT pg_catalog.pg_is_in_recovery()")).value === "t") {
    throw new OperatingError("preflight_failed", "the target is a standby", { hint: "Restore into its primary." });
  }
  const sourceMajor = Math.floor(source.serverVersionNum / 10_000);
  if (major >= sourceMajor) return;
  const message = `the target (${major}) is older than the server that the data comes from (${sourceMajor})`;
  if (!allowsOlderServer) {
    throw new OperatingError("usage", message, {
      detail: "What only the newer server knows would fail: objects, options, settings.",
      hint: "Restore to a server of the same major or a newer one; or say --older-server, and look at what failed.",
    });
  }
  warn(context, { message, hint: "What only the newer server knows will fail; each such entry is listed." });
}

/** Which of the databases are there. Throws "target_not_empty" when one of them holds something. */
export async function findExisting(
  context: OperationContext,
  session: Session,
  wanted: readonly string[],
): Promise<ReadonlySet<string>> {
  const { rows } = await session.query("SELECT datname FROM pg_catalog.pg_database WHERE datallowconn");
  const there = new Set(rows.map(([name]) => name ?? ""));
  const existing = wanted.filter((name) => there.has(name));
  const full: string[] = [];
  for (const database of existing) {
    await using own = await openTarget({ ...session.settings, database }, context.signal);
    const objects = await objectsOfTarget(own);
    if (objects.length > 0) full.push(`${database} holds ${objects.join(", ")}`);
  }
  if (full.length === 0) return new Set(existing);
  throw new OperatingError("target_not_empty", `${full.length} databases of the target are not empty`, {
    detail: full.slice(0, DATABASES_SHOWN_MAX).join("\n"),
    hint: "Restore a cluster to a new server; a single database with its own restore point, without --cluster.",
  });
}
