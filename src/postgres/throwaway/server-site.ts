// What a throwaway server stands on: its programs, the user that it runs as, a private folder, and in it a data folder made
// by initdb. Nothing runs yet. Limit: the path of a socket in the folder must fit into sun_path.

import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { assert } from "../../base/assert.ts";
import { messageOf, OperatingError } from "../../base/errors.ts";
import { findServerBinaries, inspectBinaries } from "./server-binaries.ts";
import type { ServerBinaries } from "./server-binaries.ts";
import { chooseServerUser, reachableBinaries } from "./server-user.ts";
import type { ServerUser } from "./server-user.ts";

const INITDB_TIMEOUT_MS = 120_000;
const SOCKET_PATH_BYTES_MAX = 103; // the smallest sun_path of the systems supported, less its end

/** How much of a log or of a program's errors goes into an error message. */
export const LOG_TAIL_BYTES = 4096;

/** The role that initdb makes. */
export const SUPERUSER = "postgres";

/** How to make a throwaway server. */
export interface ThrowawayOptions {
  /** A folder with initdb and postgres; else `major` is looked for. */
  readonly binariesDirectory?: string | undefined;
  readonly major?: number | undefined;
  /** PATH to look for the programs in. */
  readonly searchPath?: string | undefined;
  /** Where the private folder is made; default: the system's folder for temporary files. */
  readonly dataDirectoryParent?: string | undefined;
  /** Server settings, e.g. { wal_level: "logical" }. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** Listen on 127.0.0.1 too, on a free port. */
  readonly tcp?: boolean | undefined;
  /** Lines of pg_hba.conf instead of initdb's. */
  readonly hostBasedAuthentication?: readonly string[] | undefined;
  /** Files put into the data folder (mode 0600), e.g. { "server.key": pem }. */
  readonly files?: Readonly<Record<string, string>> | undefined;
  /** Further arguments of initdb, e.g. ["--data-checksums"]. */
  readonly initdbArguments?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Makes all of it; what was begun is removed when it fails. */
export async function makeSite(options: ThrowawayOptions): Promise<Site> {
  const binaries = await settleBinaries(options);
  const user = await chooseServerUser();
  const directory = await makePrivateDirectory(options, user);
  try {
    return await prepare(directory, binaries, user, options);
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/** Where everything of one server is. */
export interface Site {
  readonly directory: string;
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  readonly logFile: string;
  readonly programs: string;
  readonly binaries: ServerBinaries;
  readonly user: ServerUser | null;
  readonly password: string;
}

async function settleBinaries({ binariesDirectory, major, searchPath }: ThrowawayOptions): Promise<ServerBinaries> {
  assert(binariesDirectory !== undefined || major !== undefined, "neither binariesDirectory nor major given");
  const binaries =
    binariesDirectory === undefined
      ? await findServerBinaries(major as number, searchPath)
      : await inspectBinaries(binariesDirectory);
  if (binaries !== null) return binaries;
  const what = binariesDirectory === undefined ? `of PostgreSQL ${major}` : `in "${binariesDirectory}"`;
  throw new OperatingError("preflight_failed", `no server programs (initdb, postgres) ${what} were found`, {
    hint: "Install the server package of that major version, or name the folder of its programs.",
  });
}

async function makePrivateDirectory(
  { dataDirectoryParent }: ThrowawayOptions,
  user: ServerUser | null,
): Promise<string> {
  const directory = await mkdtemp(join(dataDirectoryParent ?? tmpdir(), "cairn-pg-"));
  await chmod(directory, 0o700);
  if (user !== null) await chown(directory, user.uid, user.gid);
  return directory;
}

async function prepare(
  directory: string,
  binaries: ServerBinaries,
  user: ServerUser | null,
  options: ThrowawayOptions,
): Promise<Site> {
  const site: Site = {
    directory,
    dataDirectory: join(directory, "data"),
    socketDirectory: join(directory, "s"),
    logFile: join(directory, "log"),
    programs: await reachableBinaries(binaries, user, join(directory, "programs")),
    binaries,
    user,
    password: randomBytes(18).toString("base64url"),
  };
  if (Buffer.byteLength(join(site.socketDirectory, ".s.PGSQL.65535")) > SOCKET_PATH_BYTES_MAX) {
    throw new OperatingError("usage", `the path "${directory}" is too long for a unix socket`, {
      hint: `Choose a folder for temporary files with a shorter path (socket paths end at ${SOCKET_PATH_BYTES_MAX} bytes).`,
    });
  }
  await mkdir(site.socketDirectory, { mode: 0o700 });
  await giveTo(user, site.socketDirectory);
  await runInitdb(site, options);
  await addFiles(site, options);
  return site;
}

async function runInitdb(site: Site, options: ThrowawayOptions): Promise<void> {
  const passwordFile = join(site.directory, "password");
  await writeOwned(site, passwordFile, site.password);
  const commandLine = ["-D", site.dataDirectory, "-U", SUPERUSER, "--pwfile", passwordFile];
  commandLine.push("-E", "UTF8", "--locale=C", "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256");
  commandLine.push(...(options.initdbArguments ?? []));
  try {
    await promisify(execFile)(join(site.programs, "initdb"), commandLine, {
      ...processOptions(site),
      timeout: INITDB_TIMEOUT_MS,
      signal: options.signal,
    });
  } catch (error) {
    options.signal?.throwIfAborted();
    const output = (error as { stderr?: unknown }).stderr;
    throw new OperatingError("internal", "initdb failed for a throwaway server", {
      detail: typeof output === "string" && output !== "" ? output.trim().slice(-LOG_TAIL_BYTES) : messageOf(error),
      hint: "Is there room in the folder for temporary files, and may the server's user reach it?",
      cause: error,
    });
  } finally {
    await rm(passwordFile, { force: true });
  }
}

async function addFiles(site: Site, options: ThrowawayOptions): Promise<void> {
  for (const [name, content] of Object.entries(options.files ?? {})) {
    await writeOwned(site, join(site.dataDirectory, name), content);
  }
  if (options.hostBasedAuthentication !== undefined) {
    await writeOwned(site, join(site.dataDirectory, "pg_hba.conf"), `${options.hostBasedAuthentication.join("\n")}\n`);
  }
}

/** The server's programs see nothing of our environment. */
export function processOptions(site: Site): { cwd: string; env: Record<string, string>; uid?: number; gid?: number } {
  return { cwd: site.directory, env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" }, ...site.user };
}

async function writeOwned(site: Site, file: string, content: string): Promise<void> {
  await writeFile(file, content, { mode: 0o600 });
  await giveTo(site.user, file);
}

async function giveTo(user: ServerUser | null, path: string): Promise<void> {
  if (user !== null) await chown(path, user.uid, user.gid);
}
