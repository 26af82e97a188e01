// Looks for installed pg_dump programs: the folders of PATH and the usual ones of Debian, RHEL, Homebrew and others.
// Only real programs count: Debian's /usr/bin/pg_dump is a script that picks a version by its own rules, so scripts
// are passed over. Each program found is asked for its version, once.

import { execFile } from "node:child_process";
import { open, readdir, realpath } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

import { OperatingError } from "../../base/errors.ts";
import { parseVersionText, type ServerVersion } from "../../postgres/index.ts";

const VERSION_TIMEOUT_MS = 10_000;

/** Folders that hold one sub-folder for each major version. */
const VERSIONED_FOLDERS: readonly { readonly folder: string; readonly pattern: RegExp; readonly inside: string }[] = [
  { folder: "/usr/lib/postgresql", pattern: /^\d+$/, inside: "bin" },
  { folder: "/usr", pattern: /^pgsql-\d+$/, inside: "bin" },
  { folder: "/opt/homebrew/opt", pattern: /^(postgresql|libpq)(@\d+)?$/, inside: "bin" },
  { folder: "/usr/local/opt", pattern: /^(postgresql|libpq)(@\d+)?$/, inside: "bin" },
  { folder: "/Library/PostgreSQL", pattern: /^\d+$/, inside: "bin" },
  { folder: "/Applications/Postgres.app/Contents/Versions", pattern: /^\d+$/, inside: "bin" },
  { folder: "/usr/libexec", pattern: /^postgresql\d+$/, inside: "" },
];
const PLAIN_FOLDERS = ["/usr/local/pgsql/bin", "/usr/pgsql/bin", "/usr/local/bin", "/usr/bin"];

/** A pg_dump program and what it says of itself. */
export interface InstalledPgDump {
  readonly kind: "installed";
  readonly path: string;
  readonly version: ServerVersion;
}

/** All pg_dump programs found, each real path once, newest version first. */
export async function findInstalledPgDumps(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<InstalledPgDump[]> {
  const folders = (environment["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  for (const place of VERSIONED_FOLDERS) folders.push(...(await versionFolders(place)));
  folders.push(...PLAIN_FOLDERS);
  const paths = new Set<string>();
  for (const folder of folders) {
    const path = await realpath(join(folder, "pg_dump")).catch(() => null); // not there, or not for us
    if (path !== null && (await isProgram(path))) paths.add(path);
  }
  // One that does not run (a missing library) is as good as none: what is used instead is named, with what to install.
  const found = await Promise.all([...paths].map((path) => probe(path).catch(() => null)));
  return found.filter((program) => program !== null).toSorted((a, b) => b.version.number - a.version.number);
}

/** The pg_dump that a person named. Throws OperatingError "pg_dump_missing" when it is none. */
export async function inspectPgDump(path: string): Promise<InstalledPgDump> {
  try {
    return await probe(await realpath(path));
  } catch (error) {
    throw new OperatingError("pg_dump_missing", `could not use "${path}" as pg_dump`, {
      detail: "It does not exist, cannot be run, or does not answer --version as pg_dump does.",
      hint: "Name the program itself, e.g. /usr/lib/postgresql/18/bin/pg_dump.",
      cause: error,
    });
  }
}

async function versionFolders(place: (typeof VERSIONED_FOLDERS)[number]): Promise<string[]> {
  const names = await readdir(place.folder).catch(() => []); // not there, or not for us
  return names.filter((name) => place.pattern.test(name)).map((name) => join(place.folder, name, place.inside));
}

/** False for scripts (wrappers) and unreadable files. */
async function isProgram(path: string): Promise<boolean> {
  try {
    await using file = await open(path, "r");
    const start = Buffer.alloc(2);
    const { bytesRead } = await file.read(start, 0, 2, 0);
    return bytesRead === 2 && start.toString("latin1") !== "#!";
  } catch {
    return false;
  }
}

async function probe(path: string): Promise<InstalledPgDump> {
  const { stdout } = await promisify(execFile)(path, ["--version"], {
    timeout: VERSION_TIMEOUT_MS,
    env: { LC_ALL: "C", PATH: "" },
  });
  const match = /^pg_dump \(PostgreSQL\) (\S.*)$/m.exec(stdout);
  if (match === null) throw new Error(`unexpected answer to --version`);
  return { kind: "installed", path, version: parseVersionText(match[1]!) };
}
