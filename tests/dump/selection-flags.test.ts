// Every selection flag: the archive of `cairn dump` and that of the same pg_dump alone give the same text by the stock
// pg_restore, byte by byte, rows included. With the bundled pg_dump the peer is the installed one of the same major:
// their minor versions differ, which shows in the line "Dumped by", and for 17.5 in the order of entries.
// All cases run under CAIRN_TEST_MATRIX=full; else a core of them.

import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { Client } from "pg";

import { loadDatabase } from "../support/databases.ts";
import { clientTools, runTool, server, type Major, type TestDatabase } from "../support/servers.ts";
import { dump, firstDifference, restoreText, testFolder, type TestFolder } from "./run-dump.ts";

const isFull = process.env["CAIRN_TEST_MATRIX"] === "full";

/** SNAPSHOT and FILTER stand for an exported snapshot and for a file. */
const CORE: readonly string[] = [
  "",
  "-s",
  "-a --disable-triggers",
  "-n torture",
  "-N torture",
  "-t torture.p*",
  "-T torture.part* -T *.pgbench*",
  "--exclude-table-data=torture.part*",
  "--filter=FILTER",
  "-E SQL_ASCII",
  "--snapshot=SNAPSHOT",
  "--role=torture_bob -t torture.rls --enable-row-security",
  "--include-foreign-data=loopback",
];

/** In the full matrix alone; what matters most of them stands in COMBINATIONS too. */
const REST: readonly string[] = [
  "--section=data",
  "-B",
  "--load-via-partition-root",
  "--serializable-deferrable",
  "--quote-all-identifiers",
  "--extra-float-digits=0",
  "-e hstore",
  "-n torture -e *",
  "--section=pre-data",
  "--section=post-data",
  "-O",
  "-x",
  "-b",
  "-b -n torture2",
  "-C",
  "-c",
  "-c --if-exists",
  "-E UTF8",
  "--no-comments",
  "--no-publications",
  "--no-subscriptions",
  "--no-security-labels",
  "--no-tablespaces",
  "--no-toast-compression",
  "--no-unlogged-table-data",
  "--lock-wait-timeout=20000",
  "--use-set-session-authorization",
  "-S postgres",
  "--disable-dollar-quoting",
  "--strict-names -t torture.parent -n torture2",
];

const SINCE_15: readonly string[] = ["--no-table-access-method"];

const SINCE_17: readonly string[] = [
  "--exclude-extension=hstore",
  "--exclude-table-data-and-children=torture.part",
  "--table-and-children=torture.part",
  "--exclude-table-and-children=torture.inh_a",
  "--no-large-objects",
];

const SINCE_18: readonly string[] = [
  "--statistics",
  "--statistics-only",
  "--no-statistics",
  "-s --sequence-data",
  "--no-data",
  "--no-schema",
  "--no-policies",
];

const COMBINATIONS: readonly string[] = [
  "-n torture -T torture.part* -O -x --no-comments",
  "-s -C -c --if-exists -E UTF8 --quote-all-identifiers",
  "-a --load-via-partition-root --exclude-table-data=torture.inh* --extra-float-digits=1",
  "--section=pre-data --section=data --no-unlogged-table-data -B --no-publications --no-subscriptions",
  "--filter=FILTER -N torture2 --disable-dollar-quoting --role=postgres",
];

const COMBINATION_18 = "--statistics --no-policies --sequence-data --no-data --serializable-deferrable";

const FILTER = `# what a filter file may hold
include schema torture
  include schema "odd schéma" # a remark
exclude table torture.part_*

exclude table_data public . pgbench_accounts
exclude extension hstore
exclude table_and_children torture.inh_a
`;

/** Before 17 pg_dump has no --filter: the equal flags. */
const FILTER_FOR_16 = FILTER.replaceAll(/^exclude (extension|table_and_children).*\n/gm, "");
const FILTER_AS_FLAGS = [
  "--schema=torture",
  '--schema="odd schéma"',
  "--exclude-table=torture.part_*",
  "--exclude-table-data=public.pgbench_accounts",
];

interface Case {
  readonly major: Major;
  readonly pgDump: "installed" | "bundled";
  readonly flags: readonly string[];
}

const SHORT: readonly string[] = ["", "-n torture -O -x", "-a --load-via-partition-root", "--filter=FILTER", "-b -s"];
const CORE_18: readonly string[] = [
  "--statistics",
  "--no-schema",
  "--table-and-children=torture.part",
  "-c --if-exists",
];
/** Where the bundled pg_dump goes another way: no disk, its own memory, arguments by our hand. */
const CORE_BUNDLED: readonly string[] = [
  "",
  "-s",
  "--filter=FILTER",
  "-E SQL_ASCII",
  "--snapshot=SNAPSHOT",
  "--statistics",
];
const CASES: readonly Case[] = [
  { major: 18, pgDump: "installed", flags: isFull ? all18() : [...CORE, ...CORE_18, ...COMBINATIONS, COMBINATION_18] },
  { major: 18, pgDump: "bundled", flags: isFull ? all18() : [...CORE_BUNDLED, COMBINATIONS[0]!, COMBINATION_18] },
  { major: 15, pgDump: "installed", flags: isFull ? [...CORE, ...REST, ...SINCE_15, ...COMBINATIONS] : SHORT },
  {
    major: 17,
    pgDump: "bundled",
    flags: isFull ? [...CORE, ...REST, ...SINCE_15, ...SINCE_17, ...COMBINATIONS] : SHORT.slice(0, 2),
  },
];

function all18(): string[] {
  return [...CORE, ...REST, ...SINCE_15, ...SINCE_17, ...SINCE_18, ...COMBINATIONS, COMBINATION_18];
}

const databases = new Map<Major, TestDatabase>();
const snapshots = new Map<Major, { readonly client: Client; readonly name: string }>();
const peers = new Map<string, Promise<Buffer>>();
let folder: TestFolder;

/** One torture database of a server for the whole file, at rest: autovacuum finds nothing to analyze, a snapshot is exported. */
async function prepare(major: Major): Promise<void> {
  if (databases.has(major)) return;
  const database = await loadDatabase(await server(major), "torture", { variables: { toast_mb: "1" } });
  databases.set(major, database);
  await database.psql(`
    CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw
      OPTIONS (host '127.0.0.1', port '${database.server.port}', dbname '${database.name}', use_remote_estimate 'false');
    CREATE USER MAPPING FOR postgres SERVER loopback OPTIONS (user 'postgres');
    CREATE FOREIGN TABLE public.through_loopback (bid int, bbalance int) SERVER loopback OPTIONS (schema_name 'public', table_name 'pgbench_branches');
    GRANT USAGE ON SCHEMA torture TO torture_bob; GRANT SELECT ON torture.rls TO torture_bob;`);
  await database.psql(String.raw`SELECT format('VACUUM (FREEZE, ANALYZE) %s', oid::regclass)
    FROM pg_class WHERE relkind IN ('r', 'm') AND relpersistence <> 't' AND oid >= 16384 \gexec`);
  const client = new Client({ connectionString: database.uri });
  await client.connect();
  await client.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
  const { rows } = await client.query<{ name: string }>("SELECT pg_export_snapshot() AS name");
  snapshots.set(major, { client, name: rows[0]!.name });
}

beforeAll(async () => {
  folder = await testFolder();
  await writeFile(folder.file("filter"), FILTER);
  await writeFile(folder.file("filter-16"), FILTER_FOR_16);
});

afterAll(async () => {
  for (const { client } of snapshots.values()) await client.end();
  for (const database of databases.values()) await database[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function wordsOf(flags: string, major: Major): string[] {
  const words = flags === "" ? [] : flags.split(" ");
  return words.map((word) =>
    word
      .replace("SNAPSHOT", snapshots.get(major)!.name)
      .replace("FILTER", folder.file(major < 17 ? "filter-16" : "filter")),
  );
}

/** What the installed pg_dump of the server's major writes by itself; made once for each set of flags. */
function peerText(major: Major, flags: string): Promise<Buffer> {
  const key = `${major} ${flags}`;
  const made = peers.get(key) ?? makePeerText(major, flags);
  peers.set(key, made);
  return made;
}

async function makePeerText(major: Major, flags: string): Promise<Buffer> {
  const { pgDump, pgRestore } = await clientTools(major);
  const file = folder.file(`peer-${peers.size}`);
  const words = wordsOf(flags, major).flatMap((word) =>
    major < 17 && word.startsWith("--filter") ? FILTER_AS_FLAGS : [word],
  );
  await runTool(pgDump, ["-Fc", "-Z0", "-f", file, ...words, "-d", databases.get(major)!.uri]);
  return await restoreText(pgRestore, file);
}

function withoutMinor(text: Buffer): Buffer {
  return Buffer.from(text.toString("latin1").replace(/^-- Dumped by pg_dump version .*$/m, ""), "latin1");
}

/**
 * Exception by name: 17.5 orders entries that sort equal by OID, 17.6 and later do not; and large objects come later.
 * The same blocks in another order then; defaults that are set when they change move with the order.
 */
function inNameOrder(text: Buffer): Buffer {
  const lines = text.toString("latin1").replaceAll(/^SET default_(tablespace|table_access_method) = .*\n/gm, "");
  return Buffer.from(
    lines
      .split(/\n+(?=--\n-- (?:Data for )?Name: )/)
      .toSorted()
      .join("\n"),
    "latin1",
  );
}

describe.each(CASES)("cairn dump of $major with the $pgDump pg_dump", ({ major, pgDump, flags }) => {
  beforeAll(() => prepare(major));

  test.concurrent.each(flags)("writes what pg_dump writes: %s", async (words) => {
    const { pgRestore, pgDump: program } = await clientTools(major);
    const file = folder.file(`ours-${major}-${pgDump}-${flags.indexOf(words)}`);
    const request = pgDump === "bundled" ? "bundled" : program;
    const receipt = await dump({
      source: databases.get(major)!.uri,
      file,
      settings: { selection: wordsOf(words, major), pgDump: request },
    });
    expect(receipt.pgDump.path === null).toBe(pgDump === "bundled");
    const [ours, theirs] = [await restoreText(pgRestore, file), await peerText(major, words)];
    if (pgDump === "installed") expect(firstDifference(ours, theirs)).toBe("");
    else if (major === 18) expect(firstDifference(withoutMinor(ours), withoutMinor(theirs))).toBe("");
    else expect(firstDifference(inNameOrder(withoutMinor(ours)), inNameOrder(withoutMinor(theirs)))).toBe("");
  });
});
