// The benchmark's own PostgreSQL 18 with default settings (fsync on, shared_buffers as they come) on a unix socket, in
// a folder that may outlive the run, so that the data need not be loaded again.
// Between this process and the server stands a small shell that stops the server when this process is gone.

import { spawn, type ChildProcess } from "node:child_process";
import { access, appendFile, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { clientTools, serverFiles, type ClientTools } from "../tests/support/server-packages.ts";
import {
  cleanEnvironment,
  giveToServerUser,
  runAsServerUser,
  serverSpawnOptions,
} from "../tests/support/server-user.ts";
import { runPlain } from "./measure.ts";

export const MAJOR = 18;
const PORT = 5432;
const START_TIMEOUT_MS = 60_000;
const POLL_INTERVAL_MS = 20;

const KEEPER = `"$@" </dev/null & server=$!; read -r line; kill -INT $server; wait $server`;

/** See the head of this file. */
export class BenchServer implements AsyncDisposable {
  readonly tools: ClientTools;
  readonly processId: number;
  readonly #socketDirectory: string;
  readonly #keeper: ChildProcess;

  private constructor(parts: { tools: ClientTools; processId: number; socketDirectory: string; keeper: ChildProcess }) {
    this.tools = parts.tools;
    this.processId = parts.processId;
    this.#socketDirectory = parts.socketDirectory;
    this.#keeper = parts.keeper;
  }

  /** Starts the server of a data directory, which is made when it is not there. */
  static async start(dataDirectory: string): Promise<BenchServer> {
    const { binDirectory } = await serverFiles(MAJOR);
    const tools = await clientTools(MAJOR);
    if (!(await exists(join(dataDirectory, "PG_VERSION")))) await initialize(binDirectory, dataDirectory);
    const socketDirectory = await mkdtemp("/tmp/cairn-bench-");
    await giveToServerUser(socketDirectory);
    const logFile = join(dataDirectory, "log");
    const options = ["-D", dataDirectory, "-k", socketDirectory, "-p", String(PORT), "-h", ""];
    const command = ["sh", "-c", 'log=$1; shift; exec "$@" >>"$log" 2>&1', "server", logFile];
    const keeper = spawn("sh", ["-c", KEEPER, "keeper", ...command, join(binDirectory, "postgres"), ...options], {
      ...serverSpawnOptions(),
      stdio: ["pipe", "ignore", "ignore"],
      detached: true, // Ctrl-C is for this process; the keeper then sees its input close
    });
    const processId = await untilReady(dataDirectory, keeper);
    return new BenchServer({ tools, processId, socketDirectory, keeper });
  }

  uri(database: string): string {
    return `postgresql://postgres@/${database}?host=${encodeURIComponent(this.#socketDirectory)}&port=${PORT}`;
  }

  /** Runs SQL in one psql session and returns its rows, unaligned. */
  async psql(database: string, ...args: readonly string[]): Promise<string> {
    const usual = ["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", this.uri(database)];
    return (await runPlain(this.tools.psql, [...usual, ...args], cleanEnvironment())).trim();
  }

  async hasDatabase(name: string): Promise<boolean> {
    return (await this.psql("postgres", "-c", `SELECT 1 FROM pg_database WHERE datname = '${name}'`)) === "1";
  }

  /** A new, empty database, or a copy of another; one of that name is dropped first. */
  async createDatabase(name: string, template = "template0"): Promise<void> {
    await this.dropDatabase(name);
    const how = template === "template0" ? "" : " STRATEGY file_copy";
    await this.psql("postgres", "-c", `CREATE DATABASE ${name} TEMPLATE ${template}${how}`);
  }

  /** The server is left at rest: what the drop and the work before it left to write is written. */
  async dropDatabase(name: string): Promise<void> {
    await this.psql("postgres", "-c", `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`, "-c", "CHECKPOINT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#keeper.once("exit", resolve));
    this.#keeper.stdin!.end("stop\n");
    await ended;
    await rm(this.#socketDirectory, { recursive: true, force: true });
  }
}

async function initialize(binDirectory: string, dataDirectory: string): Promise<void> {
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
  await giveToServerUser(dataDirectory);
  const options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"];
  await runAsServerUser(join(binDirectory, "initdb"), ["-D", dataDirectory, ...options]);
  await appendFile(join(dataDirectory, "postgresql.conf"), "\nlisten_addresses = ''\n");
}

/** The postmaster's process id, once it takes connections. */
async function untilReady(dataDirectory: string, keeper: ChildProcess): Promise<number> {
  const deadlineMs = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadlineMs && keeper.exitCode === null) {
    const text = await readFile(join(dataDirectory, "postmaster.pid"), "utf8").catch(() => "");
    const processId = Number(text.split("\n")[0]);
    // A file that an earlier server left behind names a process that is gone.
    if (/^ready\s*$/m.test(text) && (await exists(`/proc/${processId}`))) return processId;
    await delay(POLL_INTERVAL_MS);
  }
  keeper.stdin!.end();
  throw new Error(`the server did not start; see ${join(dataDirectory, "log")}`);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
