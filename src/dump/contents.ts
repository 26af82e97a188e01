// Has pg_dump write the table of contents through a relay, and keeps its session, transaction and locks: the holder.

import type { Toc } from "../archive/index.ts";
import { memorySource, readLargeObjectOids, readToc } from "../archive/index.ts";
import { assert } from "../base/assert.ts";
import { OperatingError, type ErrorCode } from "../base/errors.ts";
import type { ConnectionSettings, Session } from "../postgres/index.ts";
import { connectAuthenticated, formatVersion } from "../postgres/index.ts";
import { runBundledPgDump } from "./bundled/index.ts";
import type { AvailablePgDump } from "./choose-pg-dump.ts";
import { runInstalledPgDump } from "./installed/host.ts";
import { ContentsWatch } from "./contents-watch.ts";
import { ARCHIVE_SIZE_BYTES_MAX, type PgDumpRun } from "./pg-dump-run.ts";
import { Relay } from "./relay.ts";

export interface ContentsOptions {
  readonly settings: ConnectionSettings;
  readonly serverEncoding: string;
  readonly pgDump: AvailablePgDump;
  /** Selection flags for pg_dump. */
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Called when pg_dump has locked its tables and asks for the first rows. Members of extensions it does not lock. */
  onLocked?(holderProcessId: number): void;
  /** Called when the holder's connection is lost after the run of pg_dump. */
  onHolderLost(error: OperatingError): void;
}

/** What pg_dump wrote, and its session. */
export interface Contents {
  /** Head and table of contents as pg_dump wrote them. */
  readonly headAndToc: Uint8Array;
  readonly toc: Toc;
  /** OIDs of the large objects of each BLOBS entry, by dump id. */
  readonly largeObjectOids: ReadonlyMap<number, readonly number[]>;
  /** pg_dump's COPY … TO stdout statements by the dump id of their entries. */
  readonly copyStatements: ReadonlyMap<number, string>;
  /** pg_dump's session settings, to be replayed by readers; one byte a character, as the statements. */
  readonly settings: readonly string[];
  /** pg_dump's session: its transaction is open and its locks are held. */
  readonly holder: Session;
  /** What pg_dump said on the way, if anything. */
  readonly pgDumpMessages: string;
}

/** Runs pg_dump once. Throws OperatingError "pg_dump_failed" with pg_dump's own words, "lock_timeout", and others. */
export async function fetchContents(options: ContentsOptions): Promise<Contents> {
  const relay = await openRelay(options);
  try {
    using watch = new ContentsWatch(relay);
    const run = await runPgDump({ ...options, signal: AbortSignal.any([options.signal, watch.stalled]) }, relay);
    if (run.exitCode !== 0) throw pgDumpFailure(run, options.pgDump);
    const source = memorySource(run.archive);
    const known = await readToc(source, { signal: options.signal });
    const { toc } = known;
    const largeObjectOids = await readLargeObjectOids(source, known, options.signal);
    return {
      headAndToc: run.archive.slice(0, known.dataStartOffset),
      toc,
      largeObjectOids,
      copyStatements: matchStatements(toc, relay.record.copyStatements),
      settings: relay.record.settings,
      holder: relay.release((error) => options.onHolderLost(error)),
      pgDumpMessages: run.stderr.trim(),
    };
  } catch (error) {
    await relay.cancel(); // what waits for a lock would go on waiting after its connection is gone
    relay.destroy();
    throw error;
  }
}

/** pg_dump without --encoding uses the database's own encoding: bytes must come as they are stored. */
async function openRelay(options: ContentsOptions): Promise<Relay> {
  const settings = { ...options.settings, clientEncoding: options.serverEncoding };
  const connection = await connectAuthenticated(settings, { signal: options.signal, applicationName: "cairn" });
  return new Relay(connection, options.onLocked?.bind(options));
}

async function runPgDump(options: ContentsOptions, relay: Relay): Promise<PgDumpRun> {
  const { pgDump, settings, signal, environment } = options;
  const shared = {
    arguments: options.arguments,
    databaseName: settings.database,
    userName: settings.user,
    signal,
    archiveSizeBytesMax: ARCHIVE_SIZE_BYTES_MAX,
  };
  if (pgDump.kind === "installed") {
    return await runInstalledPgDump({ ...shared, relay, program: pgDump.path, environment });
  }
  const { major } = pgDump.version;
  assert(major === 17 || major === 18, "bundled pg_dumps are of 17 and 18");
  const exchange = relay.exchange.bind(relay);
  return await runBundledPgDump({ ...shared, major, parameters: relay.parameters, exchange });
}

/** pg_dump fetches data in the order of its entries, so statements and entries pair up one to one. */
function matchStatements(toc: Toc, statements: readonly string[]): Map<number, string> {
  const entries = toc.entries.filter((entry) => entry.description === "TABLE DATA" && entry.hadDumper);
  if (entries.length !== statements.length) {
    throw new OperatingError(
      "pg_dump_failed",
      `pg_dump wrote ${entries.length} data entries but fetched the rows of ${statements.length} tables`,
      { hint: "This pg_dump works in a way that Cairn does not know: name another one with --pg-dump." },
    );
  }
  return new Map(entries.map((entry, index) => [entry.dumpId, statements[index]!]));
}

const FAILURES: readonly { readonly pattern: RegExp; readonly code: ErrorCode; readonly hint: string }[] = [
  {
    pattern: /lock timeout|statement timeout[\s\S]*LOCK TABLE/i, // --lock-wait-timeout sets statement_timeout
    code: "lock_timeout",
    hint: "Somebody holds a lock on the table: cairn doctor names them. Try again later or raise --lock-wait-timeout.",
  },
  {
    pattern: /permission denied/i,
    code: "insufficient_privilege",
    hint: "cairn doctor lists every missing privilege with its GRANT.",
  },
  {
    pattern: /no matching (tables|schemas|extensions)/i,
    code: "usage",
    hint: "Patterns match as in psql's \\d: quote names that hold capitals or dots.",
  },
  {
    pattern: /row-level security/i,
    code: "insufficient_privilege",
    hint: "cairn doctor names the tables and the cure.",
  },
];

function pgDumpFailure(run: PgDumpRun, pgDump: AvailablePgDump): OperatingError {
  const lines = run.stderr.split("\n").filter((line) => line.trim() !== "");
  const errorLine = lines.find((line) => /error:/i.test(line)) ?? lines[0] ?? `exit status ${run.exitCode}`;
  const known = FAILURES.find(({ pattern }) => pattern.test(run.stderr));
  return new OperatingError(
    known?.code ?? "pg_dump_failed",
    errorLine.replace(/^.*?pg_dump: (error: )?/, "pg_dump failed: "),
    {
      detail: lines.length > 1 ? lines.slice(0, 20).join("\n") : undefined,
      hint: known?.hint ?? `The program was pg_dump ${formatVersion(pgDump.version)}.`,
    },
  );
}
