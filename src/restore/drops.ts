// The DROP statements of --clean, in reverse order of the archive, with IF EXISTS where pg_restore puts it. Pure.
// Source: pg_backup_archiver.c (18), RestoreArchive; pg_backup_db.c, DropLOIfExists.

import type { TocEntry } from "../archive/index.ts";
import { isDatabase } from "./entry-kinds.ts";
import type { RestoreOptions } from "./options.ts";
import type { Selection } from "./selection.ts";
import { entrySettings, largeObjectOids, type EntrySettings } from "./statements.ts";

/** What is dropped for one entry before anything is created. */
export interface DropStep {
  readonly entry: TocEntry;
  readonly settings: EntrySettings;
  readonly statements: readonly string[];
}

/** The drops of a selection in the order in which they are to run; none without --clean. */
export function planDrops(selection: Selection, options: RestoreOptions, hasSearchPath: boolean): readonly DropStep[] {
  if (!options.clean) return [];
  const steps: DropStep[] = [];
  for (const entry of selection.ordered.toReversed()) {
    // With --create the session is still in another database: only the database itself can be dropped.
    if (options.create && !isDatabase(entry)) continue;
    const wanted = selection.wanted.get(entry.dumpId);
    if (wanted === undefined || !(wanted.schema || wanted.data)) continue;
    const statements = dropStatements(entry, options.ifExists === true);
    if (statements.length === 0) continue;
    const { owner, schema } = entrySettings(entry, options, hasSearchPath);
    const settings = { owner, schema, tablespace: null, tableAccessMethod: null };
    steps.push({ entry, settings, statements });
  }
  return steps;
}

/** The statements that drop what an entry describes. */
export function dropStatements(entry: TocEntry, ifExists: boolean): readonly string[] {
  if (entry.description === "BLOB METADATA") {
    return largeObjectOids(entry).map((oid) => unlinkStatement(oid, ifExists));
  }
  const statement = entry.dropStatement;
  if (statement === "") return [];
  if (!ifExists || statement.startsWith("--")) return [statement];
  if (entry.description === "BLOB") return [unlinkStatement(String(entry.catalogId.oid), true)];
  return [dropIfExists(entry.description, statement)];
}

function unlinkStatement(oid: string, ifExists: boolean): string {
  if (!ifExists) return `SELECT pg_catalog.lo_unlink('${oid}');`;
  return `SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = '${oid}';`;
}

const CONSTRAINT_KINDS = new Set(["CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT"]);

function dropIfExists(kind: string, statement: string): string {
  let start = "";
  let rest = statement;
  if (rest.startsWith("ALTER TABLE")) {
    start = "ALTER TABLE IF EXISTS";
    rest = rest.slice("ALTER TABLE".length);
  }
  if (kind === "DEFAULT" || kind === "DATABASE PROPERTIES" || rest.startsWith("CREATE OR REPLACE VIEW")) {
    return start + rest;
  }
  const verb = CONSTRAINT_KINDS.has(kind) ? "DROP CONSTRAINT" : `DROP ${kind}`;
  const place = rest.indexOf(verb);
  // pg_restore sends the statement as it is when it finds no place for IF EXISTS.
  if (place < 0) return start + rest;
  const behind = place + verb.length;
  return `${start}${rest.slice(0, behind)} IF EXISTS${rest.slice(behind)}`;
}
