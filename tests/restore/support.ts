// Restores side by side: the same archive into two databases, by us and by the stock pg_restore, and what came of it.

import { execFile } from "node:child_process";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CustomArchiveReader, type ArchiveContents } from "../../src/archive/index.ts";
import { openSession, resolveConnection } from "../../src/postgres/index.ts";
import {
  planRestore,
  runRestore,
  type ConnectTarget,
  type RestoreEvent,
  type RestoreOptions,
  type RestoreResult,
} from "../../src/restore/index.ts";
import { runTool, server, type Major, type TestDatabase, type TestServer } from "../support/servers.ts";

const TORTURE_FOLDER = join(import.meta.dirname, "../data/torture");

/** An archive file that is open for reading. */
export interface OpenArchive extends AsyncDisposable {
  readonly file: string;
  readonly contents: ArchiveContents;
}

/** Opens an archive file. */
export async function openArchive(file: string): Promise<OpenArchive> {
  const handle = await open(file, "r");
  const { size } = await handle.stat();
  const contents = await CustomArchiveReader.open({
    sizeBytes: size,
    read: async (offset, length) => {
      const buffer = Buffer.allocUnsafe(length);
      const { bytesRead } = await handle.read(buffer, 0, length, offset);
      return buffer.subarray(0, bytesRead);
    },
  });
  return { file, contents, [Symbol.asyncDispose]: () => handle.close() };
}

/** A folder that is removed when disposed. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "cairn-restore-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** A database with torture.sql in it. */
export async function tortureDatabase(pg: TestServer): Promise<TestDatabase> {
  const database = await pg.createDatabase();
  const uri = pg.uri(database.name);
  const args = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", uri, "-f", "torture.sql"];
  await new Promise<void>((resolve, reject) => {
    execFile(pg.tools.psql, args, { cwd: TORTURE_FOLDER, maxBuffer: 1 << 26 }, (error) =>
      error ? reject(error) : resolve(),
    );
  });
  return database;
}

/** Writes a custom-format archive with the server's own pg_dump. */
export async function dumpArchive(
  database: TestDatabase,
  file: string,
  flags: readonly string[] = [],
): Promise<string> {
  await runTool(database.server.tools.pgDump, ["-Fc", ...flags, "-f", file, "-d", database.uri]);
  return file;
}

/** What became of a restore: ids of entries with errors. */
export interface RestoreOutcome {
  readonly failedIds: readonly number[];
}

/** Restores by the stock tool. Parts of `errors` begin with "pg_restore: error:". */
export async function restoreByStock(
  pg: TestServer,
  database: string,
  file: string,
  flags: readonly string[],
): Promise<RestoreOutcome & { readonly status: number; readonly errors: readonly string[] }> {
  const args = ["-v", ...flags, "-d", pg.uri(database), file];
  const { status, text } = await new Promise<{ status: number; text: string }>((resolve) => {
    execFile(pg.tools.pgRestore, args, { maxBuffer: 1 << 28, encoding: "latin1" }, (error, _output, output) =>
      resolve({ status: typeof error?.code === "number" ? error.code : 0, text: output }),
    );
  });
  const ids = [...text.matchAll(/from TOC entry (\d+);/g)].map((match) => Number(match[1]));
  const errors = text.split(/^(?=pg_restore: )/m).filter((part) => part.startsWith("pg_restore: error:"));
  return { status, errors, failedIds: [...new Set(ids)].toSorted((one, other) => one - other) };
}

/** Opens sessions in a database, or in another one of the same server. */
export async function connector(pg: TestServer, database: string): Promise<ConnectTarget> {
  const settings = await resolveConnection({
    source: pg.uri(database),
    environment: {},
    homeDirectory: tmpdir(),
    userName: "postgres",
  });
  return (name, signal) => openSession({ ...settings, database: name ?? settings.database }, { signal });
}

/** Restores by us. */
export async function restoreByUs(
  pg: TestServer,
  database: string,
  archive: OpenArchive,
  options: RestoreOptions & { readonly onEvent?: (event: RestoreEvent) => void },
): Promise<RestoreOutcome & { readonly result: RestoreResult }> {
  const plan = planRestore(archive.contents.toc, options, { version: pg.tools.major * 10_000 });
  const result = await runRestore(archive.contents, plan, {
    connect: await connector(pg, database),
    onEvent: options.onEvent,
  });
  const failedIds = result.entriesFailed.map((failure) => failure.dumpId);
  return { result, failedIds: [...new Set(failedIds)].toSorted((one, other) => one - other) };
}

/** A database as text: the schema as pg_dump writes it, and all lines of the full dump sorted (row order is free). */
export async function databaseText(pg: TestServer, database: string): Promise<{ schema: string; content: string }> {
  const dump = await runTool(pg.tools.pgDump, ["-d", pg.uri(database)]);
  const text = dump.replaceAll(/^\\(un)?restrict .*$/gm, "").replaceAll(database, "DATABASE");
  const schema = text.replaceAll(/^(COPY .* FROM stdin;)\n[\s\S]*?^\\\.$/gm, "$1");
  return { schema, content: text.split("\n").toSorted().join("\n") };
}

export { server, type Major, type TestServer };
