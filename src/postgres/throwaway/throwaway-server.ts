// A PostgreSQL server for a while: made by initdb in a private folder, reached by a unix socket in that folder (so trust
// authentication harms nobody), on wish also by TCP on 127.0.0.1 with a random password. Not for data that must last.

import type { ChildProcess } from "node:child_process";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { isOperatingError, OperatingError } from "../../base/errors.ts";
import type { ConnectionSettings } from "../connection-settings.ts";
import { resolveConnection } from "../resolve-connection.ts";
import { openSession } from "../session.ts";
import { guardServer } from "./cleanup.ts";
import type { ServerBinaries } from "./server-binaries.ts";
import { readLogTail, spawnServer, stopChild, type StopMode } from "./server-child.ts";
import { makeSite, SUPERUSER, type Site, type ThrowawayOptions } from "./server-site.ts";

const START_TIMEOUT_MS = 60_000;
const POLL_MS_MIN = 10;
const POLL_MS_MAX = 500;
const START_COUNT_MAX = 3;
const SOCKET_ONLY_PORT = 5432;

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
  const site = await makeSite(options);
  try {
    return await start(site, options);
  } catch (error) {
    await rm(site.directory, { recursive: true, force: true });
    throw error;
  }
}

// Starting again helps only when another process took the free port in between.
async function start(site: Site, options: ThrowawayOptions): Promise<ThrowawayServer> {
  for (let count = 1; ; count += 1) {
    const port = options.tcp ? await findFreePort() : SOCKET_ONLY_PORT;
    const child = await spawnServer(site, serverSettings(site, port, options));
    try {
      return await finishStart(site, child, port, options);
    } catch (error) {
      await stopChild(child, "immediate");
      const detail = isOperatingError(error) ? (error.detail ?? "") : "";
      if (!/Address already in use/.test(detail) || count === START_COUNT_MAX) throw error;
    }
  }
}

// Without care for crashes: the data are thrown away.
function serverSettings(site: Site, port: number, options: ThrowawayOptions): Record<string, string> {
  return {
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
            detail: `The end of its log:\n${await readLogTail(site)}`,
            cause: error,
          },
        );
      }
    }
    await sleep(pauseMs);
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
