// A drill's place on a throwaway server of the source's major version: the programs that are installed, one after another,
// until one has all extensions. It is stopped and its folder removed with the drill, whatever happens but SIGKILL.

import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { OperatingError } from "../../base/errors.ts";
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
import { databaseNameOf, serverNeeds, type ServerNeeds } from "../../restore/index.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";
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

/** Starts a throwaway server with the roles and tablespaces that the archive names. Throws "preflight_failed" when there is none. */
export async function openThrowaway(context: OperationContext, request: PlaceRequest): Promise<DrillPlace> {
  const needs = serverNeeds(request.toc);
  await warnOfSpace(context, request.rawBytes);
  const server = await startFitting(context, request, needs);
  try {
    const name = databaseNameOf(request.toc);
    const maintenance = await prepareServer(server, needs, name ?? TARGET_DATABASE, context.signal);
    await using session = await openSession(maintenance, { signal: context.signal });
    const { toc, notCompared } = await fitDatabase(session, request.toc, context.signal);
    if (name === null) await makeDatabase(session, toc, TARGET_DATABASE, context.signal);
    const target = { ...maintenance, database: name ?? TARGET_DATABASE };
    return {
      kind: "throwaway",
      description: `throwaway server ${formatVersion(server.binaries.version)} of ${server.binaries.directory}`,
      version: session.serverVersion,
      maintenance: name === null ? target : maintenance,
      target,
      toc,
      notCompared,
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

/** The first installed server of the major that has all extensions, else an error with the way out. */
async function startFitting(
  context: OperationContext,
  { sourceMajor }: PlaceRequest,
  needs: ServerNeeds,
): Promise<ThrowawayServer> {
  const candidates = await findAllServerBinaries(sourceMajor, context.environment["PATH"]);
  let lacking: { readonly binaries: ServerBinaries; readonly extensions: readonly string[] } | null = null;
  for (const binaries of candidates) {
    const { signal } = context;
    const server = await startThrowawayServer({
      binariesDirectory: binaries.directory,
      settings: THROWAWAY_SETTINGS,
      signal,
    });
    try {
      const extensions = await missingExtensions(server, needs, signal);
      if (extensions.length === 0) return server;
      lacking ??= { binaries, extensions };
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    await server[Symbol.asyncDispose]();
  }
  throw noServer(sourceMajor, lacking);
}

function noServer(
  major: number,
  lacking: { readonly binaries: ServerBinaries; readonly extensions: readonly string[] } | null,
): OperatingError {
  const install =
    `apt-get install postgresql-${major} (Debian, Ubuntu), dnf install postgresql${major}-server (RHEL, Fedora) or ` +
    `brew install postgresql@${major}`;
  if (lacking === null) {
    return new OperatingError(
      "preflight_failed",
      `no server programs of PostgreSQL ${major} were found for the drill`,
      {
        detail: "initdb and postgres were looked for in PATH and in the usual folders of Debian, RHEL and Homebrew.",
        hint: `Install them: ${install}; or name a server with --on SERVER.`,
      },
    );
  }
  const names = lacking.extensions.join(", ");
  return new OperatingError(
    "preflight_failed",
    `PostgreSQL ${major} is here without extensions that are needed: ${names}`,
    {
      detail: `Looked at: ${lacking.binaries.directory}.`,
      hint: "Install their packages for that server here, or name a server that has them with --on SERVER.",
    },
  );
}

async function missingExtensions(
  server: ThrowawayServer,
  { extensions }: ServerNeeds,
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
  server: ThrowawayServer,
  needs: ServerNeeds,
  databaseName: string,
  signal: AbortSignal,
): Promise<ConnectionSettings> {
  await using session = await openSession(server.settings, { signal });
  const { rows } = await session.query("SELECT rolname FROM pg_catalog.pg_roles;", { signal });
  const there = new Set(rows.map(([name]) => name));
  for (const { name, ownsAsSuperuser } of needs.roles) {
    // What only a newer or another maker's server has by itself cannot be made: the restore says so.
    if (there.has(name) || name.startsWith("pg_")) continue;
    await session.query(`CREATE ROLE ${quoteIdentifier(name)}${ownsAsSuperuser ? " SUPERUSER" : ""};`, { signal });
  }
  if (needs.tablespaces.length > 0) await session.query("SET allow_in_place_tablespaces = on;", { signal });
  for (const name of needs.tablespaces) {
    if (name.startsWith("pg_")) continue;
    await session.query(`CREATE TABLESPACE ${quoteIdentifier(name)} LOCATION '';`, { signal });
  }
  const maintenanceName = databaseName === MAINTENANCE_DATABASE ? `${MAINTENANCE_DATABASE}_2` : MAINTENANCE_DATABASE;
  await session.query(`CREATE DATABASE ${quoteIdentifier(maintenanceName)} TEMPLATE template0;`, { signal });
  await session.close();
  const maintenance = { ...server.settings, database: maintenanceName };
  if (databaseName !== "postgres" && databaseName !== "template1") return maintenance;
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
