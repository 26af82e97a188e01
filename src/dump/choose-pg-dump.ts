// Which pg_dump reads the catalog of a server (pure). pg_dump of version N writes SQL for N and later, so the server's
// own major comes first: installed, then bundled; then the nearest newer one, with a warning that says what it means.

import { OperatingError } from "../base/errors.ts";
import { formatVersion, type ServerVersion } from "../postgres/index.ts";
import type { InstalledPgDump } from "./installed/find.ts";

/** A pg_dump compiled to WebAssembly that comes with Cairn. */
export interface BundledPgDump {
  readonly kind: "bundled";
  readonly version: ServerVersion;
}

export type AvailablePgDump = InstalledPgDump | BundledPgDump;

/** Oldest server that Cairn backs up. */
export const SERVER_MAJOR_MIN = 13;

export interface PgDumpChoice {
  readonly pgDump: AvailablePgDump;
  readonly warning: { readonly message: string; readonly hint: string } | null;
}

/**
 * The pg_dump for a server. Within one major, installed goes before bundled and a newer minor before an older.
 * Throws OperatingError "server_version_unsupported" or "pg_dump_missing".
 */
export function choosePgDump(server: ServerVersion, available: readonly AvailablePgDump[]): PgDumpChoice {
  if (server.major < SERVER_MAJOR_MIN) {
    throw new OperatingError("server_version_unsupported", `server version ${formatVersion(server)} is not supported`, {
      detail: `Cairn backs up PostgreSQL ${SERVER_MAJOR_MIN} and later.`,
      hint: "Use the server's own pg_dump for this last backup, and upgrade the server.",
    });
  }
  const usable = available.filter((pgDump) => pgDump.version.major >= server.major).toSorted(byPreference);
  const best = usable[0];
  if (best === undefined) throw noPgDump(server, available);
  return { pgDump: best, warning: best.version.major === server.major ? null : newerWarning(server, best) };
}

function byPreference(a: AvailablePgDump, b: AvailablePgDump): number {
  if (a.version.major !== b.version.major) return a.version.major - b.version.major;
  if (a.kind !== b.kind) return a.kind === "installed" ? -1 : 1;
  return b.version.number - a.version.number;
}

function installCommand(major: number): string {
  return `apt-get install postgresql-client-${major} (Debian, Ubuntu) or dnf install postgresql${major} (RHEL, Fedora)`;
}

function newerWarning(server: ServerVersion, pgDump: AvailablePgDump): PgDumpChoice["warning"] {
  return {
    message: `pg_dump ${formatVersion(pgDump.version)} reads a server of version ${formatVersion(server)}`,
    hint:
      `What it writes is meant for PostgreSQL ${pgDump.version.major} and later; a restore into PostgreSQL ` +
      `${server.major} is adapted where that is exact. For an archive of the server's own version: ` +
      `${installCommand(server.major)}.`,
  };
}

function noPgDump(server: ServerVersion, available: readonly AvailablePgDump[]): OperatingError {
  const found = available.map((pgDump) => (pgDump.kind === "installed" ? pgDump.path : "bundled"));
  const versions = available.map((pgDump, index) => `${formatVersion(pgDump.version)} (${found[index]})`).join(", ");
  return new OperatingError("pg_dump_missing", `no pg_dump for a server of version ${formatVersion(server)}`, {
    detail: versions === "" ? "None was found." : `Found: ${versions}.`,
    hint: `Install it: ${installCommand(server.major)}; or name one with --pg-dump PATH.`,
  });
}
