// A restore as plain SQL: what pg_restore 18 prints with --file, byte by byte, instead of statements on a connection. The
// same plan, one job. With `dataFileName`, the data is left out and named: the restore.sql of a tar archive.
// Source: pg_backup_archiver.c (18), RestoreArchive, restore_toc_entry, _printTocEntry, StartRestoreLO, dump_lo_buf.

import type { ArchiveContents, Toc, TocEntry } from "../archive/index.ts";
import { assert } from "../base/assert.ts";
import { OperatingError } from "../base/errors.ts";
import { bareIdentifier, withBareIdentifiers } from "./bare-identifier.ts";
import { hasPartitionRootMark } from "./entry-kinds.ts";
import { planRestore, type RestorePlan, type RestoreTask } from "./plan.ts";
import { readSessionDefaults, sessionStatements } from "./session-settings.ts";
import { SIGNATURE_OWNED_KINDS, type RestoreStatement } from "./statements.ts";

/** Newer than every server: nothing is adapted. */
const NEWEST_SERVER = 990_000;

/** Bytes of a large object in one statement. */
const LARGE_OBJECT_STATEMENT_BYTES = 16 * 1024;

const INV_WRITE = 0x20000;

/** The end of a table's rows in a script. */
const END_OF_ROWS = "\\.\n\n\n";

export interface SqlScriptOptions {
  /** For psql's \restrict, which forbids its other commands; letters and digits. Null: the script has none. */
  readonly restrictKey: string | null;
  /** Creates the database first and connects to it, as pg_restore --create. */
  readonly create?: boolean;
  /** The file that holds an entry's data, which then stands not in the script; null when it has none to be named. */
  readonly dataFileName?: (entry: TocEntry) => string | null;
  readonly signal?: AbortSignal;
  /** Called with each piece of data. */
  readonly onData?: (added: { readonly rawBytes: number; readonly rowCount: number }) => void;
}

/** The script, in pieces; text is encoded as the table of contents is. */
export async function* sqlScript(
  contents: Pick<ArchiveContents, "toc" | "tableData" | "largeObjects">,
  options: SqlScriptOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const create = options.create === true;
  const plan = planRestore(contents.toc, { statistics: true, create }, { version: NEWEST_SERVER });
  const printer = new ScriptPrinter(contents.toc, plan);
  const { restrictKey } = options;
  assert(restrictKey === null || /^[A-Za-z0-9]+$/.test(restrictKey), "a restrict key is letters and digits");
  printer.begin(restrictKey);
  for (const task of plan.serial) {
    options.signal?.throwIfAborted();
    printer.printTask(task);
    if (task.reconnectTo !== null) printer.connect(task.reconnectTo, restrictKey);
    if (task.load !== null) yield* printData(contents, task, printer, options);
    yield* printer.take();
  }
  printer.end(restrictKey);
  yield* printer.take();
}

async function* printData(
  contents: Pick<ArchiveContents, "tableData" | "largeObjects">,
  task: RestoreTask,
  printer: ScriptPrinter,
  options: SqlScriptOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const { entry, load } = task;
  if (options.dataFileName !== undefined) {
    printer.printFileReference(entry, options.dataFileName(entry));
    return;
  }
  if (load?.kind === "large-objects") {
    yield* printLargeObjects(contents, entry, printer, options);
    return;
  }
  printer.print(entry.copyStatement);
  yield* printer.take();
  for await (const piece of contents.tableData(entry, options.signal)) {
    const text = await piece.load(options.signal);
    options.onData?.({ rawBytes: piece.rawLengthBytes, rowCount: piece.rowCount ?? 0 });
    yield text;
  }
  if (entry.copyStatement !== "") printer.print(END_OF_ROWS);
}

async function* printLargeObjects(
  contents: Pick<ArchiveContents, "largeObjects">,
  entry: TocEntry,
  printer: ScriptPrinter,
  options: SqlScriptOptions,
): AsyncGenerator<Uint8Array, void, void> {
  printer.select("pg_catalog");
  printer.print("BEGIN;\n\n");
  for await (const object of contents.largeObjects(entry, options.signal)) {
    printer.print(`SELECT pg_catalog.lo_open('${object.oid}', ${INV_WRITE});\n`);
    let kept: Uint8Array = new Uint8Array(0);
    for await (const bytes of object.read(options.signal)) {
      options.onData?.({ rawBytes: bytes.length, rowCount: 0 });
      const joined = kept.length === 0 ? bytes : Buffer.concat([kept, bytes]);
      let at = 0;
      for (; joined.length - at >= LARGE_OBJECT_STATEMENT_BYTES; at += LARGE_OBJECT_STATEMENT_BYTES) {
        printer.printWrite(joined.subarray(at, at + LARGE_OBJECT_STATEMENT_BYTES));
      }
      kept = Uint8Array.from(joined.subarray(at));
      yield* printer.take();
    }
    if (kept.length > 0) printer.printWrite(kept);
    printer.print("SELECT pg_catalog.lo_close(0);\n\n");
    yield* printer.take();
  }
  printer.print("COMMIT;\n\n");
}

/** Prints definitions, and remembers what the session is set to. */
class ScriptPrinter {
  readonly #toc: Toc;
  readonly #plan: RestorePlan;
  #text = "";
  readonly #hasSearchPath: boolean;
  #schema: string | null = null;
  #tablespace: string | null = null;
  #tableAccessMethod: string | null = null;

  constructor(toc: Toc, plan: RestorePlan) {
    this.#toc = toc;
    this.#plan = plan;
    this.#hasSearchPath = readSessionDefaults(toc).searchPath !== null;
  }

  print(text: string): void {
    this.#text += text;
  }

  /** What was printed since, encoded. */
  *take(): Iterable<Uint8Array> {
    if (this.#text === "") return;
    const bytes = Buffer.from(this.#text, this.#toc.textEncoding);
    this.#text = "";
    yield bytes;
  }

  begin(restrictKey: string | null): void {
    const { header } = this.#toc;
    this.print("--\n-- PostgreSQL database dump\n--\n\n");
    if (restrictKey !== null) this.print(`\\restrict ${restrictKey}\n\n`);
    this.print(`-- Dumped from database version ${onOneLine(header.serverVersion)}\n`);
    this.print(`-- Dumped by pg_dump version ${onOneLine(header.pgDumpVersion)}\n\n`);
    this.#printSettings();
  }

  #printSettings(): void {
    const defaults = readSessionDefaults(this.#toc);
    const statements = sessionStatements(defaults, this.#plan.options, this.#plan.targetVersion);
    for (const sql of statements) {
      const isOurOwn = !this.#hasSearchPath && sql.includes("'search_path'");
      if (!isOurOwn) this.print(`${sql.trimEnd()}\n`);
    }
    this.print("\n");
  }

  /** Has psql connect to another database; what was set before is set anew. */
  connect(database: string, restrictKey: string | null): void {
    if (restrictKey !== null) this.print(`\\unrestrict ${restrictKey}\n`);
    this.print(connectCommand(database));
    if (restrictKey !== null) this.print(`\\restrict ${restrictKey}\n`);
    this.print("\n");
    this.#printSettings();
    this.#schema = null;
    this.#tablespace = null;
    this.#tableAccessMethod = null;
  }

  end(restrictKey: string | null): void {
    this.print("--\n-- PostgreSQL database dump complete\n--\n\n");
    if (restrictKey !== null) this.print(`\\unrestrict ${restrictKey}\n\n`);
  }

  /** Makes the schema the first of the search path, in archives that have no search path of their own. */
  select(schema: string | null): void {
    if (this.#hasSearchPath || schema === null || schema === "" || schema === this.#schema) return;
    this.#schema = schema;
    const rest = schema === "pg_catalog" ? "" : ", pg_catalog";
    this.print(`SET search_path = ${bareIdentifier(schema)}${rest};\n\n`);
  }

  printTask(task: RestoreTask): void {
    const { entry, settings } = task;
    this.select(settings.schema);
    this.#selectTablespace(settings.tablespace);
    this.#selectTableAccessMethod(settings.tableAccessMethod);
    this.#printHeader(task);
    if (hasPartitionRootMark(entry)) this.print(`${entry.definition}\n\n`);
    const isGrouped = entry.description === "BLOB METADATA" || entry.tag.startsWith("LARGE OBJECTS");
    for (const [index, statement] of task.statements.entries()) {
      // A group of large objects has a statement for each, with a line after the last of one purpose.
      const isLast = !isGrouped || task.statements[index + 1]?.purpose !== statement.purpose;
      this.print(`${bareText(entry, statement)}\n${isLast ? "\n" : ""}`);
    }
  }

  #printHeader({ entry, load }: RestoreTask): void {
    const { description, tag, namespace, tablespace } = entry;
    const prefix = load !== null ? "Data for " : description === "STATISTICS DATA" ? "Statistics for " : "";
    const schema = namespace === null ? "-" : onOneLine(namespace);
    const isOwnerNull = entry.owner === "" && entry.layout !== undefined && !entry.layout.emptyFields.includes("owner");
    const owner = isOwnerNull ? "-" : onOneLine(entry.owner);
    const place = tablespace === null || tablespace === "" ? "" : `; Tablespace: ${onOneLine(tablespace)}`;
    this.print(
      `--\n-- ${prefix}Name: ${onOneLine(tag)}; Type: ${onOneLine(description)}; Schema: ${schema}; Owner: ${owner}${place}\n--\n\n`,
    );
  }

  #selectTablespace(tablespace: string | null): void {
    if (tablespace === null || tablespace === this.#tablespace) return;
    this.#tablespace = tablespace;
    this.print(`SET default_tablespace = ${tablespace === "" ? "''" : bareIdentifier(tablespace)};\n\n`);
  }

  #selectTableAccessMethod(method: string | null): void {
    if (method === null || method === this.#tableAccessMethod) return;
    this.#tableAccessMethod = method;
    this.print(`SET default_table_access_method = ${bareIdentifier(method)};\n\n`);
  }

  /** One statement that writes bytes of a large object. */
  printWrite(bytes: Uint8Array): void {
    const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
    this.print(`SELECT pg_catalog.lowrite(0, '${this.#plan.standardStrings ? "" : "\\"}\\x${hex}');\n`);
  }

  /** The COPY of an entry from its file, as it stands in the script of a tar archive. */
  printFileReference(entry: TocEntry, fileName: string | null): void {
    if (fileName === null) return;
    if (entry.copyStatement === "") {
      this.print(`\\i $$PATH$$/${fileName}\n\n`);
      return;
    }
    const copy = entry.copyStatement.replace(/ FROM stdin;\n$/, "");
    this.print(`${copy} FROM '$$PATH$$/${fileName}';\n\n`);
  }
}

/** A statement that we made with all names quoted, as pg_restore writes it; definitions stay as they are. */
function bareText(entry: TocEntry, { purpose, sql }: RestoreStatement): string {
  if (purpose === "access method") return withBareIdentifiers(sql);
  if (purpose !== "owner") return sql;
  const ownerAt = sql.lastIndexOf(" OWNER TO ");
  // The full name of a function and its like is pg_dump's own text.
  const isOurs = !SIGNATURE_OWNED_KINDS.has(entry.description);
  const subject = sql.slice(0, ownerAt);
  return (isOurs ? withBareIdentifiers(subject) : subject) + withBareIdentifiers(sql.slice(ownerAt));
}

/**
 * psql's command to connect to a database: its name as it is, where it needs no quotes. Throws "value_too_large" for a
 * name that psql cannot be told. Source: string_utils.c (18), appendPsqlMetaConnect.
 */
export function connectCommand(database: string): string {
  if (/[\r\n]/.test(database)) {
    throw new OperatingError("value_too_large", "the name of a database has a line end, which psql cannot connect to", {
      hint: "Restore it with Cairn, or write an archive for pg_restore.",
    });
  }
  if (/^[A-Za-z0-9_.]+$/.test(database)) return `\\connect ${database}\n`;
  const value = database.replaceAll(/['\\]/g, String.raw`\$&`);
  const conninfo = `dbname='${value}'`.replaceAll('"', '""');
  return `\\encoding SQL_ASCII\n\\connect -reuse-previous=on "${conninfo}"\n`;
}

function onOneLine(text: string): string {
  return text.replaceAll(/[\r\n]/g, " ");
}
