// A PostgreSQL server for a while: made by initdb in a private folder, reached by a unix socket in that folder (so trust
// authentication harms nobody), on wish also by TCP on 127.0.0.1 with a random password. Not for data that must last.

import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, chown, mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { assert } from "../../base/assert.ts";
import { isOperatingError, messageOf, OperatingError } from "../../base/errors.ts";
import type { ConnectionSettings } from "../connection-settings.ts";
import { resolveConnection } from "../resolve-connection.ts";
import { openSession } from "../session.ts";
import { guardServer } from "./cleanup.ts";
import { findServerBinaries, inspectBinaries } from "./server-binaries.ts";
import type { ServerBinaries } from "./server-binaries.ts";
import { chooseServerUser, reachableBinaries } from "./server-user.ts";
import type { ServerUser } from "./server-user.ts";

const INITDB_TIMEOUT_MS = 120_000;
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const POLL_MS_MIN = 10;
const POLL_MS_MAX = 500;
const LOG_TAIL_BYTES = 4096;
const SOCKET_PATH_BYTES_MAX = 103; // the smallest sun_path of the systems supported, less its end
const START_COUNT_MAX = 3;
const SOCKET_ONLY_PORT = 5432;
const SUPERUSER = "postgres";

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

/** How pg_ctl calls the ways to stop. */
export type StopMode = "smart" | "fast" | "immediate";

/** A running throwaway server; disposing of it stops it and removes its folder. */
export interface ThrowawayServer extends AsyncDisposable {
  /** By the unix socket, as superuser. */
  readonly settings: ConnectionSettings;
  /** By TCP, as superuser with the password; null without `tcp`. */
  readonly tcpSettings: ConnectionSettings | null;
  readonly socketDirectory: string;
  readonly port: number;
  readonly dataDirectory: string;
  readonly binaries: ServerBinaries;
  readonly processId: number;
  /** Stops the server, and keeps its folder until disposal. */
  stop(mode?: StopMode): Promise<void>;
}

/** Makes and starts a server. Throws OperatingError with the end of the server's log. */
export async function startThrowawayServer(options: ThrowawayOptions): Promise<ThrowawayServer> {
  const binaries = await settleBinaries(options);
  const user = await chooseServerUser();
  const directory = await makePrivateDirectory(options, user);
  try {
    const site = await prepare(directory, binaries, user, options);
    return await start(site, options);
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

// Where everything of one server is.
interface Site {
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

// Starting again helps only when another process took the free port in between.
async function start(site: Site, options: ThrowawayOptions): Promise<ThrowawayServer> {
  for (let count = 1; ; count += 1) {
    const port = options.tcp ? await findFreePort() : SOCKET_ONLY_PORT;
    const child = await spawnServer(site, port, options);
    try {
      return await finishStart(site, child, port, options);
    } catch (error) {
      await stopChild(child, "immediate");
      const detail = isOperatingError(error) ? (error.detail ?? "") : "";
      if (!/Address already in use/.test(detail) || count === START_COUNT_MAX) throw error;
    }
  }
}

async function spawnServer(site: Site, port: number, options: ThrowawayOptions): Promise<ChildProcess> {
  const settings: Record<string, string> = {
    listen_addresses: options.tcp ? "127.0.0.1" : "",
    port: String(port),
    unix_socket_directories: site.socketDirectory,
    unix_socket_permissions: "0700",
    fsync: "off",
    full_page_writes: "off",
    shared_buffers: "32MB",
    logging_collector: "off",
    log_destination: "stderr",
    ...options.settings,
  };
  const commandLine = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const log = await open(site.logFile, "a", 0o600);
  try {
    const child = spawn(join(site.programs, "postgres"), ["-D", site.dataDirectory, ...commandLine], {
      ...processOptions(site),
      stdio: ["ignore", log.fd, log.fd],
      detached: true, // its own process group, so that Ctrl-C on the terminal reaches only us
    });
    await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject));
    return child;
  } finally {
    await log.close();
  }
}

async function finishStart(
  site: Site,
  child: ChildProcess,
  port: number,
  options: ThrowawayOptions,
): Promise<ThrowawayServer> {
  const release = guardServer(child.pid as number, site.directory);
  try {
    const settings = await settingsFor(site.socketDirectory, port, null);
    await waitUntilReady(site, child, settings, options.signal);
    const tcpSettings = options.tcp ? await settingsFor("127.0.0.1", port, site.password) : null;
    return {
      settings,
      tcpSettings,
      socketDirectory: site.socketDirectory,
      port,
      dataDirectory: site.dataDirectory,
      binaries: site.binaries,
      processId: child.pid as number,
      stop: (mode: StopMode = "fast") => stopChild(child, mode),
      [Symbol.asyncDispose]: async () => {
        await stopChild(child, "immediate");
        release();
        await rm(site.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

async function waitUntilReady(
  site: Site,
  child: ChildProcess,
  settings: ConnectionSettings,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (let pauseMs = POLL_MS_MIN; ; pauseMs = Math.min(pauseMs * 2, POLL_MS_MAX)) {
    signal?.throwIfAborted();
    try {
      await using session = await openSession(settings, { signal });
      await session.query("SELECT 1");
      return;
    } catch (error) {
      const hasEnded = child.exitCode !== null || child.signalCode !== null;
      if (hasEnded || performance.now() > deadline) {
        throw new OperatingError(
          "internal",
          `a throwaway server ${hasEnded ? "ended while starting" : "did not become ready"}`,
          {
            detail: `The end of its log:\n${await readTail(site.logFile)}`,
            cause: error,
          },
        );
      }
    }
    await sleep(pauseMs);
  }
}

const STOP_SIGNALS = { smart: "SIGTERM", fast: "SIGINT", immediate: "SIGQUIT" } as const;

async function stopChild(child: ChildProcess, mode: StopMode): Promise<void> {
  for (const signal of [STOP_SIGNALS[mode], "SIGQUIT", "SIGKILL"] as const) {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<boolean>((resolve) => child.once("exit", () => resolve(true)));
    child.kill(signal);
    const limit = new AbortController();
    const timedOut = sleep(STOP_TIMEOUT_MS, false, { signal: limit.signal }).catch(() => false);
    const hasEnded = await Promise.race([ended, timedOut]);
    limit.abort();
    if (hasEnded) return;
  }
}

function settingsFor(host: string, port: number, password: string | null): Promise<ConnectionSettings> {
  return resolveConnection({
    environment: {},
    homeDirectory: "/nonexistent",
    userName: SUPERUSER,
    fallback: { host, port: String(port), dbname: "postgres", ...(password === null ? {} : { password }) },
  });
}

// The server's programs see nothing of our environment.
function processOptions(site: Site): { cwd: string; env: Record<string, string>; uid?: number; gid?: number } {
  return { cwd: site.directory, env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" }, ...site.user };
}

async function writeOwned(site: Site, file: string, content: string): Promise<void> {
  await writeFile(file, content, { mode: 0o600 });
  await giveTo(site.user, file);
}

async function giveTo(user: ServerUser | null, path: string): Promise<void> {
  if (user !== null) await chown(path, user.uid, user.gid);
}

async function readTail(file: string): Promise<string> {
  const handle = await open(file, "r");
  try {
    const { size } = await handle.stat();
    const start = Math.max(0, size - LOG_TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(LOG_TAIL_BYTES), 0, LOG_TAIL_BYTES, start);
    return buffer.toString("utf8", 0, bytesRead).trim();
  } finally {
    await handle.close();
  }
}

function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
