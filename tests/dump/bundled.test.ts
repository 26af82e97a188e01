// The bundled pg_dump against real servers, alone (without the relay): it gives the table of contents of the installed
// pg_dump of the same major, and ends as it should when something goes wrong.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { readToc, type TocEntry } from "../../src/archive/index.ts";
import { isOperatingError } from "../../src/base/errors.ts";
import { bundledPgDumpVersions, runBundledPgDump } from "../../src/dump/bundled/index.ts";
import type { BundledMajor, PgDumpRun } from "../../src/dump/bundled/index.ts";
import { clientTools, runTool, server, type TestDatabase, type TestServer } from "../support/servers.ts";
import { openRawSession, type RawSession } from "./raw-session.ts";

const tortureDirectory = fileURLToPath(new URL("../data/torture/", import.meta.url));
const archiveSizeBytesMax = 256 << 20;
/** That of 17 goes through whole backups in `npm test` all the same. */
const BUNDLED_MAJORS: readonly BundledMajor[] = process.env["CAIRN_TEST_MATRIX"] === "full" ? [17, 18] : [18];

interface RunOptions {
  readonly arguments?: readonly string[];
  readonly signal?: AbortSignal;
  readonly archiveSizeBytesMax?: number;
  readonly exchange?: RawSession["exchange"];
}

async function runBundled(database: TestDatabase, major: BundledMajor, options: RunOptions = {}): Promise<PgDumpRun> {
  using session = await openRawSession(database.server.port, database.name);
  return await runOn(session, database, major, options);
}

function runOn(
  session: RawSession,
  database: TestDatabase,
  major: BundledMajor,
  options: RunOptions,
): Promise<PgDumpRun> {
  return runBundledPgDump({
    major,
    arguments: options.arguments ?? [],
    parameters: session.parameters,
    databaseName: database.name,
    userName: "postgres",
    exchange: options.exchange ?? session.exchange,
    signal: options.signal ?? new AbortController().signal,
    archiveSizeBytesMax: options.archiveSizeBytesMax ?? archiveSizeBytesMax,
  });
}

async function runInstalled(
  database: TestDatabase,
  major: BundledMajor,
  flags: readonly string[],
): Promise<Uint8Array> {
  const directory = await mkdtemp(join(tmpdir(), "cairn-test-"));
  try {
    const file = join(directory, "archive");
    const { pgDump } = await clientTools(major);
    await runTool(pgDump, ["-Fc", "--compress=none", "-f", file, ...flags, "-d", database.uri]);
    return await readFile(file);
  } finally {
    await rm(directory, { recursive: true });
  }
}

function queryMessage(text: string): Uint8Array {
  const message = Buffer.from(`Q\0\0\0\0${text}\0`);
  message.writeInt32BE(message.length - 1, 1);
  return message;
}

/** What an entry holds, without its number and its place in the file; dependencies by name. */
function describeEntries(entries: readonly TocEntry[]): Map<string, object> {
  const nameOf = (entry: TocEntry): string =>
    [entry.description, entry.namespace, entry.tag, entry.catalogId.tableOid, entry.catalogId.oid].join("|");
  const names = new Map(entries.map((entry) => [entry.dumpId, nameOf(entry)]));
  return new Map(
    entries.map((entry) => {
      const { layout: _layout, dumpId: _dumpId, ...fields } = entry as TocEntry & { layout?: unknown };
      const dependencies = entry.dependencies.map((id) => names.get(id) ?? "not archived").toSorted();
      return [nameOf(entry), { ...fields, dependencies }];
    }),
  );
}

async function compare(database: TestDatabase, major: BundledMajor, flags: readonly string[]): Promise<void> {
  const bundled = await runBundled(database, major, { arguments: flags });
  expect(bundled.exitCode).toBe(0);
  const { toc: ours } = await readToc(bundled.archive);
  const { toc: theirs } = await readToc(await runInstalled(database, major, flags));
  const { createdAt: _ours, pgDumpVersion: _ourVersion, ...ourHeader } = ours.header;
  const { createdAt: _theirs, pgDumpVersion: _theirVersion, ...theirHeader } = theirs.header;
  expect(ourHeader).toEqual(theirHeader);
  expect(describeEntries(ours.entries)).toEqual(describeEntries(theirs.entries));
  // Exception by name: 17.5 orders entries that sort equal by OID, 17.6 and later do not; and large objects come later.
  if (major === 17) return;
  // Not their numbers: two runs of one pg_dump can differ there, by the order in which the server gives functions.
  const ordered = (entries: readonly TocEntry[]): string[] =>
    entries.map(({ tag, description }) => `${description} ${tag}`);
  expect(ordered(ours.entries)).toEqual(ordered(theirs.entries));
}

test("bundledPgDumpVersions() tells what the programs say of themselves", async () => {
  expect(await bundledPgDumpVersions()).toEqual([
    { major: 17, version: "17.5" },
    { major: 18, version: "18.3" },
  ]);
});

describe.each(BUNDLED_MAJORS)("runBundledPgDump() of %i", (major) => {
  let pg: TestServer;
  let database: TestDatabase;

  beforeAll(async () => {
    pg = await server(major);
    database = await pg.createDatabase();
    const script = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", join(tortureDirectory, "torture.sql")];
    await runTool(pg.tools.psql, [...script, "-d", database.uri]);
  });

  afterAll(() => database[Symbol.asyncDispose]());

  test.each([
    [[]],
    [["-s"]],
    [["-a", "--load-via-partition-root"]],
    [["--quote-all-identifiers", "--clean", "--create", "--if-exists"]],
    [["-n", "torture", "-O", "-x", "--no-comments"]],
    [["--exclude-table-data=*", "--serializable-deferrable"]],
  ])("writes torture.sql's table of contents as the installed pg_dump does, with %j", async (flags) => {
    await compare(database, major, flags);
  });

  test("reads no row: COPY and large objects are asked for one by one and answered without the server", async () => {
    using session = await openRawSession(pg.port, database.name);
    const run = await runOn(session, database, major, {});
    const { toc } = await readToc(run.archive);
    const tables = toc.entries.filter((entry) => entry.description === "TABLE DATA");
    expect(session.answeredHere.filter((text) => text.startsWith("QCOPY ")).length).toBe(tables.length);
    expect(tables.every((entry) => entry.copyStatement.startsWith("COPY "))).toBe(true);
    expect(session.sent.filter((text) => /^Q(COPY|DECLARE|FETCH)|^F|^X/.test(text))).toEqual([]);
  });

  test("gives pg_dump's own text and exit code when it fails", async () => {
    const run = await runBundled(database, major, { arguments: ["-t", "no_such_table"] });
    expect(run).toEqual({
      archive: new Uint8Array(0),
      stderr: "pg_dump: error: no matching tables were found\n",
      exitCode: 1,
    });
  });

  test("hands the server's errors to pg_dump", async () => {
    const run = await runBundled(database, major, { arguments: ["--role=no_such_role"] });
    expect(run.exitCode).toBe(1);
    expect(run.stderr).toContain('role "no_such_role" does not exist');
  });

  test("stops when cancelled while the server does not answer", async () => {
    using locker = await openRawSession(pg.port, database.name);
    await locker.exchange(queryMessage("BEGIN; LOCK TABLE torture.parent IN ACCESS EXCLUSIVE MODE"), () => {});
    const controller = new AbortController();
    const reason = new Error("cancelled by the test");
    using session = await openRawSession(pg.port, database.name);
    const exchange: RawSession["exchange"] = (message, onBytes) => {
      if (Buffer.from(message).includes("LOCK TABLE")) setImmediate(() => controller.abort(reason));
      return session.exchange(message, onBytes);
    };
    await expect(runOn(session, database, major, { exchange, signal: controller.signal })).rejects.toBe(reason);
  });

  test("throws what the exchange throws", async () => {
    const lost = new Error("the connection was lost");
    const exchange = (): Promise<void> => Promise.reject(lost);
    await expect(runBundled(database, major, { exchange })).rejects.toBe(lost);
  });

  test("refuses an archive above the limit", async () => {
    const run = runBundled(database, major, { archiveSizeBytesMax: 100_000 });
    await expect(run).rejects.toSatisfy((error) => isOperatingError(error, "value_too_large"));
  });

  test("keeps the bytes of names in a database without encoding", async () => {
    await using raw = await pg.createDatabase(undefined, { encoding: "SQL_ASCII", locale: "C" });
    await raw.psql(
      String.raw`DO $$ BEGIN EXECUTE convert_from('\x637265617465207461626c65202262fffe22202822e92220696e7429', 'SQL_ASCII'); END $$`,
    );
    await compare(raw, major, []);
  });

  test("dumps 10,000 tables with a primary key at default server settings", async () => {
    await using many = await pg.createDatabase();
    await many.psql(
      Array.from({ length: 10_000 }, (_, index) => `CREATE TABLE t${index + 1} (id int primary key, v text);`).join(
        "\n",
      ),
    );
    expect(await pg.psql("postgres", "SHOW max_locks_per_transaction")).toBe("64");
    const run = await runBundled(many, major, { archiveSizeBytesMax });
    expect(run).toMatchObject({ exitCode: 0, stderr: "" });
    const { toc } = await readToc(run.archive);
    expect(toc.entries.filter((entry) => entry.description === "TABLE DATA").length).toBe(10_000);
  });
});
