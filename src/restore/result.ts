// What a restore reports: events while it runs, failures of entries, and the result.

import type { TocEntry } from "../archive/index.ts";
import { isOperatingError, messageOf } from "../base/errors.ts";
import type { Adaptation } from "./adaptations.ts";

/** One error of one entry. */
export interface EntryError {
  readonly message: string;
  readonly sqlState: string | undefined;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  /** What was being done: the purpose of the statement, "data", "drop", "session setting". */
  readonly during: string;
  /** The beginning of the statement; never data. */
  readonly statement: string | undefined;
}

/** An entry that was not restored whole. */
export interface EntryFailure {
  readonly dumpId: number;
  readonly description: string;
  readonly namespace: string | null;
  readonly tag: string;
  readonly errors: readonly EntryError[];
}

/** Rows that were loaded into one table. */
export interface TableRows {
  readonly dumpId: number;
  readonly namespace: string | null;
  readonly table: string;
  readonly rows: number;
  /** Bytes of COPY text. */
  readonly sizeBytes: number;
  /** What the source said; null when it does not know. Always equal to `rows` when known. */
  readonly expectedRows: number | null;
  /** Connections that loaded it. */
  readonly connectionCount: number;
}

/** What a restore did. It is done only when `isComplete`. */
export interface RestoreResult {
  /** True when every statement succeeded and all rows are there. */
  readonly isComplete: boolean;
  /** True when the run ended at an error, and what came after was not tried. */
  readonly stoppedEarly: boolean;
  readonly entriesDone: number;
  readonly entriesFailed: readonly EntryFailure[];
  /** Dump ids of wanted entries that were not tried. */
  readonly entriesSkipped: readonly number[];
  readonly rowsByTable: readonly TableRows[];
  readonly largeObjectCount: number;
  readonly adaptations: readonly Adaptation[];
  readonly warnings: readonly string[];
}

/** What runRestore() tells while it runs. */
export type RestoreEvent =
  /** Comes before the first of its statements is sent. */
  | { readonly kind: "drop"; readonly entry: TocEntry; readonly statements: readonly string[] }
  | { readonly kind: "entry started"; readonly entry: TocEntry; readonly worker: number }
  | { readonly kind: "entry ended"; readonly entry: TocEntry; readonly worker: number; readonly isDone: boolean }
  | { readonly kind: "entry failed"; readonly failure: EntryFailure }
  /** COPY text that was handed to the server. */
  | { readonly kind: "data"; readonly entry: TocEntry; readonly worker: number; readonly sizeBytes: number }
  /** Another connection takes pieces of a table that is being loaded. */
  | { readonly kind: "worker joined"; readonly entry: TocEntry; readonly worker: number }
  | { readonly kind: "table loaded"; readonly rows: TableRows }
  | { readonly kind: "phase"; readonly phase: "drop" | "definitions" | "data and indexes" | "analyze" };

const STATEMENT_LENGTH_MAX = 500;

/** An error of an entry as it is reported. */
export function entryError(error: unknown, during: string, statement?: string): EntryError {
  const operating = isOperatingError(error) ? error : null;
  return {
    message: messageOf(error),
    sqlState: operating?.sqlState,
    // The detail of an error about rows holds row data.
    detail: during === "data" ? undefined : operating?.detail,
    hint: operating?.hint,
    during,
    statement: statement === undefined ? undefined : shorten(statement.trim()),
  };
}

function shorten(text: string): string {
  return text.length <= STATEMENT_LENGTH_MAX ? text : `${text.slice(0, STATEMENT_LENGTH_MAX)}…`;
}

/** The failure of an entry. */
export function entryFailure(entry: TocEntry, errors: readonly EntryError[]): EntryFailure {
  const { dumpId, description, namespace, tag } = entry;
  return { dumpId, description, namespace, tag, errors };
}
