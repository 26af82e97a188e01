// Runs an installed pg_dump against a relay: pg_dump connects to a unix socket in a private folder of ours, which
// plays the server's part. Only names of the socket folder and selection flags stand in its arguments; database and
// user go by its environment, which is otherwise empty of PG* variables. One session, plus CancelRequests.
// Source: PostgreSQL manual, "Message Flow", "Start-up", "Canceling Requests in Progress".

import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";

import { OperatingError } from "../../base/errors.ts";
import { ARCHIVE_SIZE_BYTES_MAX, STDERR_SIZE_BYTES_MAX } from "../pg-dump-run.ts";
import type { PgDumpRun } from "../pg-dump-run.ts";
import type { Relay } from "../relay.ts";
import { FrontendSession } from "./frontend-session.ts";
import { makeSocketFolder, SOCKET_NAME, sweepSocketFolders } from "./socket-folder.ts";

const PASSED_ENVIRONMENT = ["PATH", "HOME", "TZ", "LD_LIBRARY_PATH"] as const;

export interface InstalledRunOptions {
  readonly relay: Relay;
  /** Selection flags only; format and connection are added. */
  readonly arguments: readonly string[];
  readonly databaseName: string;
  readonly userName: string;
  readonly signal: AbortSignal;
  /** Path of the pg_dump program. */
  readonly program: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Runs the program to its end. A non-zero exit is in the result; throws when the server or the program is lost. */
export async function runInstalledPgDump(options: InstalledRunOptions): Promise<PgDumpRun> {
  options.signal.throwIfAborted();
  await sweepSocketFolders();
  const folder = await makeSocketFolder();
  const failure: { error: Error | null } = { error: null };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    const session = new FrontendSession(socket, options.relay, (error) => {
      failure.error ??= error;
    });
    session.start();
  });
  try {
    await listen(server, join(folder, SOCKET_NAME));
    const run = await runProgram(options, folder);
    if (failure.error !== null && run.exitCode !== 0) throw failure.error;
    return run;
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => resolve());
  });
}

function programEnvironment(options: InstalledRunOptions, folder: string): Record<string, string> {
  const environment: Record<string, string> = {
    LC_ALL: "C",
    PGHOST: folder,
    PGPORT: "5432",
    PGDATABASE: options.databaseName,
    PGUSER: options.userName,
    PGSERVICEFILE: join(folder, "none"),
    PGSYSCONFDIR: folder,
    PGPASSFILE: join(folder, "none"),
  };
  for (const name of PASSED_ENVIRONMENT) {
    const value = options.environment[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}

function runProgram(options: InstalledRunOptions, folder: string): Promise<PgDumpRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(options.program, ["--format=custom", "--compress=0", "--no-password", ...options.arguments], {
      env: programEnvironment(options, folder),
      stdio: ["ignore", "pipe", "pipe"],
      signal: options.signal,
      killSignal: "SIGKILL", // also one that stands still; it has nothing to clear away
    });
    const archive: Buffer[] = [];
    let archiveSizeBytes = 0;
    let stderr = "";
    child.stdout.on("data", (bytes: Buffer) => {
      archiveSizeBytes += bytes.length;
      if (archiveSizeBytes > ARCHIVE_SIZE_BYTES_MAX) child.kill("SIGKILL");
      else archive.push(bytes);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (stderr.length < STDERR_SIZE_BYTES_MAX) stderr += text;
    });
    child.on("error", (error) => {
      reject(options.signal.aborted ? options.signal.reason : startFailure(options.program, error));
    });
    child.on("close", (exitCode, killSignal) => {
      if (options.signal.aborted) reject(options.signal.reason);
      else if (archiveSizeBytes > ARCHIVE_SIZE_BYTES_MAX) reject(archiveTooLarge());
      else if (killSignal !== null) reject(killed(options.program, killSignal));
      else resolve({ archive: Buffer.concat(archive), stderr, exitCode: exitCode ?? 1 });
    });
  });
}

function startFailure(program: string, cause: Error): OperatingError {
  return new OperatingError("pg_dump_failed", `could not run "${program}": ${cause.message}`, { cause });
}

function killed(program: string, signal: string): OperatingError {
  return new OperatingError("pg_dump_failed", `"${program}" was ended by signal ${signal}`, {
    hint: "If the system's memory ran out, its log says so.",
  });
}

function archiveTooLarge(): OperatingError {
  return new OperatingError(
    "pg_dump_failed",
    `pg_dump wrote a table of contents of more than ${ARCHIVE_SIZE_BYTES_MAX} bytes`,
  );
}
