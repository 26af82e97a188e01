// A drill's place on a throwaway server of the source's major version: the programs that are installed, one after another,
// until one has all extensions. It is stopped and its folder removed with the drill, whatever happens but SIGKILL.

import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { formatSize } from "../../base/units.ts";
import {
  findAllServerBinaries,
  formatVersion,
  openSession,
  quoteIdentifier,
  startThrowawayServer,
  type ConnectionSettings,
  type ServerBinaries,
  type ThrowawayServer,
} from "../../postgres/index.ts";
import { databaseNameOf, serverNeeds } from "../../restore/index.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";
import { makeCarriedRoles, makeMissing } from "./drill-roles.ts";
import { fitDatabase, makeDatabase, type DrillPlace, type PlaceRequest } from "./place.ts";

/** For a database that is filled once and thrown away. */
const THROWAWAY_SETTINGS: Readonly<Record<string, string>> = {
  autovacuum: "off",
  checkpoint_timeout: "1h",
  max_wal_size: "4GB",
  max_locks_per_transaction: "1024",
  max_wal_senders: "0",
  wal_level: "minimal",
  shared_buffers: "128MB",
};
/** For an archive that does not tell of its database. */
const TARGET_DATABASE = "cairn_drill";
const MAINTENANCE_DATABASE = "cairn_maintenance";

/** What a throwaway server must be able to hold. */
export interface ServerRequest {
  readonly sourceMajor: number;
  readonly rawBytes: number;
  readonly extensions: readonly string[];
}

/** Starts a throwaway server with the roles and tablespaces that the archive names. Throws "preflight_failed" when there is none. */
export async function openThrowaway(context: OperationContext, request: PlaceRequest): Promise<DrillPlace> {
  const { extensions } = serverNeeds(request.toc);
  const server = await startFitting(context, { ...request, extensions });
  try {
    if (request.globals !== null) await makeCarriedRoles(context, server.settings, request.globals);
    const end = (): PromiseLike<void> => server[Symbol.asyncDispose]();
    return await openOnThrowaway(context, { server, settings: server.settings, end }, request);
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

/** A throwaway server that is there. */
export interface ThrowawayGround {
  readonly server: ThrowawayServer;
  /** Of a database to connect to that no restore makes. */
  readonly settings: ConnectionSettings;
  /** Removes what was made for a place. */
  readonly end: (target: ConnectionSettings) => PromiseLike<void>;
}

/** A place for one database on a throwaway server. */
export async function openOnThrowaway(
  context: OperationContext,
  { server, settings, end }: ThrowawayGround,
  request: PlaceRequest,
): Promise<DrillPlace> {
  const name = databaseNameOf(request.toc);
  const maintenance = await prepareServer(context, settings, request);
  await using session = await openSession(maintenance, { signal: context.signal });
  const { toc, notCompared } = await fitDatabase(session, request.toc, context.signal);
  if (name === null) await makeDatabase(session, toc, TARGET_DATABASE, context.signal);
  const target = { ...maintenance, database: name ?? TARGET_DATABASE };
  return {
    kind: "throwaway",
    description: describeThrowaway(server),
    version: session.serverVersion,
    maintenance: name === null ? target : maintenance,
    target,
    toc,
    notCompared,
    [Symbol.asyncDispose]: () => end(target),
  };
}

/** For people. */
export function describeThrowaway({ binaries }: ThrowawayServer): string {
  return `throwaway server ${formatVersion(binaries.version)} of ${binaries.directory}`;
}

/** Why a server that is installed cannot be used. */
interface Unfit {
  readonly binaries: ServerBinaries;
  /** Extensions that it lacks; empty: it did not start. */
  readonly extensions: readonly string[];
  readonly error: OperatingError | null;
}

/** The first installed server of the major that starts and has all extensions, else an error with the way out. */
export async function startFitting(
  context: OperationContext,
  { extensions: needed, rawBytes, sourceMajor }: ServerRequest,
): Promise<ThrowawayServer> {
  const { signal, environment } = context;
  await warnOfSpace(context, rawBytes);
  let unfit: Unfit | null = null;
  for (const binaries of await findAllServerBinaries(sourceMajor, environment["PATH"])) {
    const options = { binariesDirectory: binaries.directory, settings: THROWAWAY_SETTINGS, signal };
    const server = await startThrowawayServer(options).catch((error: unknown) => notStarted(error, signal));
    if (server instanceof OperatingError) {
      unfit ??= { binaries, extensions: [], error: server };
      continue;
    }
    try {
      const extensions = await missingExtensions(server, needed, signal);
      if (extensions.length === 0) return server;
      unfit ??= { binaries, extensions, error: null };
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    await server[Symbol.asyncDispose]();
  }
  throw unfit === null ? noServer(sourceMajor) : unfitServer(sourceMajor, unfit);
}

function notStarted(error: unknown, signal: AbortSignal): OperatingError {
  signal.throwIfAborted();
  if (isOperatingError(error)) return error;
  throw error;
}

function noServer(major: number): OperatingError {
  const install =
    `apt-get install postgresql-${major} (Debian, Ubuntu), dnf install postgresql${major}-server (RHEL, Fedora) or ` +
    `brew install postgresql@${major}`;
  const message = `no server programs of PostgreSQL ${major} were found for the drill`;
  return new OperatingError("preflight_failed", message, {
    detail: "initdb and postgres were looked for in PATH and in the usual folders of Debian, RHEL and Homebrew.",
    hint: `Install them: ${install}; or name a server with --on SERVER.`,
  });
}

function unfitServer(major: number, { binaries, extensions, error }: Unfit): OperatingError {
  if (error !== null) {
    return new OperatingError(
      "preflight_failed",
      `could not start a throwaway server for the drill: ${error.message}`,
      {
        detail: `Its programs are in ${binaries.directory}. ${error.detail ?? ""}`.trim(),
        hint: `${error.hint ?? "Cure what its log says"}. Or name a server with --on SERVER.`.replace("..", "."),
        cause: error,
      },
    );
  }
  const message = `PostgreSQL ${major} is here without extensions that are needed: ${extensions.join(", ")}`;
  return new OperatingError("preflight_failed", message, {
    detail: `Looked at: ${binaries.directory}.`,
    hint: "Install their packages for that server here, or name a server that has them with --on SERVER.",
  });
}

async function missingExtensions(
  server: ThrowawayServer,
  extensions: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (extensions.length === 0) return [];
  await using session = await openSession(server.settings, { signal });
  const { rows } = await session.query("SELECT name FROM pg_catalog.pg_available_extensions;", { signal });
  const there = new Set(rows.map(([name]) => name));
  return extensions.filter((name) => !there.has(name));
}

/** Makes roles and tablespaces, and a free place for the database's name. Gives the database to connect to. */
async function prepareServer(
  context: OperationContext,
  settings: ConnectionSettings,
  { toc }: PlaceRequest,
): Promise<ConnectionSettings> {
  const { signal } = context;
  await makeMissing(settings, serverNeeds(toc), signal);
  const databaseName = databaseNameOf(toc) ?? TARGET_DATABASE;
  const maintenanceName = databaseName === MAINTENANCE_DATABASE ? `${MAINTENANCE_DATABASE}_2` : MAINTENANCE_DATABASE;
  await using session = await openSession(settings, { signal });
  const makes = `CREATE DATABASE ${quoteIdentifier(maintenanceName)} TEMPLATE template0;`;
  const { rows } = await session.query("SELECT datname FROM pg_catalog.pg_database;", { signal });
  const there = new Set(rows.map(([name]) => name));
  if (!there.has(maintenanceName)) await session.query(makes, { signal });
  await session.close();
  const maintenance = { ...settings, database: maintenanceName };
  const isOwn = databaseName === "postgres" || databaseName === "template1";
  if (!isOwn || !there.has(databaseName)) return maintenance;
  await using other = await openSession(maintenance, { signal });
  await other.query(`ALTER DATABASE ${databaseName} IS_TEMPLATE false;`, { signal });
  await other.query(`DROP DATABASE ${databaseName};`, { signal });
  return maintenance;
}

async function warnOfSpace(context: OperationContext, rawBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(tmpdir());
  const freeBytes = bavail * bsize;
  if (freeBytes >= rawBytes) return;
  warn(context, {
    message: `the folder for temporary files has ${formatSize(freeBytes)} free, the restore point ${formatSize(rawBytes)} of rows`,
    hint: "The drill may run out of space. TMPDIR names another folder.",
  });
}
