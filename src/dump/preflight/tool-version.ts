// The pg_dump to be used against the server's version, and the holes known in its minor version (pure).
// Source: postgresql.org/support/security and the release notes.

import { formatVersion } from "../../postgres/index.ts";
import type { ServerVersion } from "../../postgres/index.ts";
import type { AvailablePgDump } from "../choose-pg-dump.ts";
import type { Finding } from "./finding.ts";

/** Newest major that Cairn was tried with. */
export const SERVER_MAJOR_MAX = 18;

interface Hole {
  readonly name: string;
  readonly what: string;
  /** First minor version without it, by major. A major that is not named never had it, or gets no fix. */
  readonly fixedIn: Readonly<Record<number, number>>;
}

const HOLES: readonly Hole[] = [
  {
    name: "CVE-2024-7348",
    what: "an object swapped during the dump runs code as the dumping role",
    fixedIn: { 13: 16, 14: 13, 15: 8, 16: 4 },
  },
  {
    name: "CVE-2025-8714 and CVE-2025-8715",
    what: "a dump made by it runs commands where it is restored with psql",
    fixedIn: { 13: 22, 14: 19, 15: 14, 16: 10, 17: 6 },
  },
  {
    name: "CVE-2026-6477",
    what: "the server's answer to a large-object call can overwrite memory of the client",
    fixedIn: { 14: 23, 15: 18, 16: 14, 17: 10, 18: 4 },
  },
  {
    name: "CVE-2026-18408",
    what: "the protection of plain dumps against commands can be bypassed",
    fixedIn: { 14: 24, 15: 19, 16: 15, 17: 11, 18: 6 },
  },
];

/** Holes of a pg_dump, oldest first. */
export function knownHoles(version: ServerVersion): string[] {
  const open = HOLES.filter(({ fixedIn }) => version.minor < (fixedIn[version.major] ?? 0));
  return open.map(({ name, what }) => `${name} (${what})`);
}

/** The server's version, the pg_dump used, its known holes. That it fits the server is choosePgDump()'s matter. */
export function checkVersions(server: ServerVersion, pgDump: AvailablePgDump | null): Finding[] {
  const findings: Finding[] = [];
  if (server.major > SERVER_MAJOR_MAX) {
    findings.push({
      severity: "warning",
      code: "server-version",
      message: `this version of Cairn was not tried with PostgreSQL ${server.major}`,
      hint: "Look for a newer version of Cairn, and drill a restore before you rely on it.",
    });
  }
  if (pgDump === null) return findings;
  return [...findings, usedFinding(pgDump), ...holeFindings(pgDump)];
}

function usedFinding(pgDump: AvailablePgDump): Finding {
  const place = pgDump.kind === "installed" ? pgDump.path : "bundled with Cairn";
  return { severity: "ok", code: "pg-dump", message: `pg_dump ${formatVersion(pgDump.version)} is used (${place})` };
}

function holeFindings(pgDump: AvailablePgDump): Finding[] {
  const holes = knownHoles(pgDump.version);
  if (holes.length === 0) return [];
  const isBundled = pgDump.kind === "bundled";
  return [
    {
      severity: isBundled ? "info" : "warning",
      code: "pg-dump-outdated",
      message: `pg_dump ${formatVersion(pgDump.version)} has known security holes: ${holes.join("; ")}`,
      detail: isBundled ? "The bundled one runs in a sandbox without files and network." : undefined,
      hint: isBundled
        ? "Install PostgreSQL's own client tools of the server's major version; they are then used instead."
        : "Update the package that it belongs to, e.g. apt-get install --only-upgrade " +
          `postgresql-client-${pgDump.version.major}.`,
    },
  ];
}
