// One PostgreSQL server for tests in a temporary folder of its own, which goes away with it.
// A small shell (the keeper) stands between this process and the server: it reads its standard input, and when that
// closes, however this process ended, it stops the server and removes the folder.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile, appendFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { serverFiles } from "./server-packages.ts";
import type { Major } from "./server-packages.ts";
import { giveToServerUser, runAsServerUser, serverSpawnOptions } from "./server-user.ts";

const startTimeoutMs = 60_000;
const stopTimeoutMs = 60_000;
const startAttempts = 3;
const pollIntervalMs = 20;
/** sockaddr_un holds 107 bytes; ".s.PGSQL.65535" and a slash are 15 of them. */
const socketDirectoryBytesMax = 90;

const keeperScript = `
folder=$1; shift
"$@" </dev/null & server=$!
how=; read -r how
case $how in
  fast) kill -INT $server; wait $server ;;
  immediate) kill -QUIT $server; wait $server ;;
  *) kill -QUIT $server; wait $server; rm -rf "$folder" ;;
esac
`;

/** What a server is started with besides the settings every test server has. */
export interface ServerOptions {
  /** Server settings by name; they win over the usual ones. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The whole of pg_hba.conf; trust for everybody without it. */
  readonly hostBasedAuthentication?: string;
  /** More arguments for initdb, e.g. ["--data-checksums"]. */
  readonly initdbArguments?: readonly string[];
  /** Fills the data folder instead of initdb (pg_basebackup for a standby); it runs before the settings are written. */
  readonly fillDataDirectory?: (dataDirectory: string) => Promise<void>;
}

/** Where a started server is. */
export interface RunningServer {
  readonly major: Major;
  readonly port: number;
  readonly socketDirectory: string;
  readonly dataDirectory: string;
  readonly logFile: string;
}

/** A server process with its folder; start() and stop() may be called in turn. */
export class ServerProcess implements AsyncDisposable {
  readonly running: RunningServer;
  readonly #folder: string;
  readonly #program: string;
  #keeper: ChildProcess | undefined;

  private constructor(running: RunningServer, folder: string, program: string) {
    this.running = running;
    this.#folder = folder;
    this.#program = program;
  }

  /** Makes a data folder and starts a server in it. */
  static async create(major: Major, options: ServerOptions = {}): Promise<ServerProcess> {
    for (let attempt = 1; ; attempt += 1) {
      const server = await ServerProcess.#prepare(major, options);
      try {
        await server.start();
        return server;
      } catch (error) {
        await server[Symbol.asyncDispose]();
        // Somebody else may have taken the free port meanwhile.
        if (attempt >= startAttempts || !String(error).includes("in use")) throw error;
      }
    }
  }

  static async #prepare(major: Major, options: ServerOptions): Promise<ServerProcess> {
    const { binDirectory } = await serverFiles(major);
    const folder = await makeFolder(major);
    const dataDirectory = join(folder, "data");
    const port = await freePort();
    if (options.fillDataDirectory) {
      await mkdir(dataDirectory, { mode: 0o700 });
      await giveToServerUser(dataDirectory);
      await options.fillDataDirectory(dataDirectory);
    } else {
      const usual = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"];
      await runAsServerUser(join(binDirectory, "initdb"), [
        "-D",
        dataDirectory,
        ...usual,
        ...(options.initdbArguments ?? []),
      ]);
    }
    const settings = {
      ...usualSettings(major),
      ...options.settings,
      port: String(port),
      unix_socket_directories: folder,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
    await appendFile(join(dataDirectory, "postgresql.conf"), `\n# test server\n${lines.join("")}`);
    if (options.hostBasedAuthentication !== undefined) {
      await writeFile(join(dataDirectory, "pg_hba.conf"), options.hostBasedAuthentication);
    }
    const logFile = join(folder, "log");
    await writeFile(logFile, "");
    await giveToServerUser(logFile);
    const running = { major, port, socketDirectory: folder, dataDirectory, logFile };
    return new ServerProcess(running, folder, join(binDirectory, "postgres"));
  }

  /** Starts the server and waits until it takes connections (hot standby included). */
  async start(): Promise<void> {
    const { dataDirectory, logFile } = this.running;
    const loggedBefore = (await readFile(logFile, "utf8")).length;
    const command = ["-c", keeperScript, "keeper", this.#folder];
    const server = ["sh", "-c", 'exec "$1" -D "$2" >>"$3" 2>&1', "server", this.#program, dataDirectory, logFile];
    this.#keeper = spawn("sh", [...command, ...server], {
      ...serverSpawnOptions(),
      stdio: ["pipe", "ignore", "ignore"],
      detached: true, // Ctrl-C is for us; the keeper then sees its input close
    });
    this.#keeper.unref();
    (this.#keeper.stdin as unknown as { unref(): void }).unref();
    const deadline = Date.now() + startTimeoutMs;
    while (!(await this.#isReady())) {
      if (Date.now() > deadline || this.#keeper.exitCode !== null || (await this.#hasFailed(loggedBefore))) {
        throw new Error(`PostgreSQL ${this.running.major} did not start:\n${await readFile(logFile, "utf8")}`);
      }
      await delay(pollIntervalMs);
    }
  }

  /** Stops the server and keeps its folder. */
  async stop(how: "fast" | "immediate" = "fast"): Promise<void> {
    await this.#endKeeper(`${how}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endKeeper("");
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #endKeeper(word: string): Promise<void> {
    const keeper = this.#keeper;
    this.#keeper = undefined;
    if (!keeper || keeper.exitCode !== null || keeper.signalCode !== null) return;
    keeper.ref();
    const ended = new Promise((resolve) => keeper.once("exit", resolve));
    keeper.stdin?.end(word);
    const timer = new AbortController();
    const timeout = delay(stopTimeoutMs, "timeout", { signal: timer.signal }).catch(() => "ended");
    const winner = await Promise.race([ended.then(() => "ended"), timeout]);
    timer.abort();
    if (winner === "timeout") throw new Error(`PostgreSQL ${this.running.major} did not stop`);
  }

  /** The last line of postmaster.pid tells the postmaster's state. */
  async #isReady(): Promise<boolean> {
    const text = await readFile(join(this.running.dataDirectory, "postmaster.pid"), "utf8").catch(() => "");
    return /^(ready|standby)\s*$/m.test(text);
  }

  /** Whether this start has failed; sessions of before may have ended by errors that are logged alike. */
  async #hasFailed(loggedBefore: number): Promise<boolean> {
    return /^.*FATAL: .*/m.test((await readFile(this.running.logFile, "utf8")).slice(loggedBefore));
  }
}

function usualSettings(major: Major): Record<string, string> {
  return {
    listen_addresses: "127.0.0.1",
    fsync: "off",
    jit: "off",
    wal_level: "logical",
    max_prepared_transactions: "10",
    shared_buffers: "64MB",
    ...(major >= 17 ? { summarize_wal: "on" } : {}),
  };
}

async function makeFolder(major: Major): Promise<string> {
  const prefix = `cairn-pg${major}-`;
  const fits = Buffer.byteLength(tmpdir()) + prefix.length + 8 <= socketDirectoryBytesMax;
  const folder = await mkdtemp(join(fits ? tmpdir() : "/tmp", prefix));
  await giveToServerUser(folder);
  return folder;
}

async function freePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(0, "127.0.0.1", resolve);
  });
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}
