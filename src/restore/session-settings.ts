// The settings that every connection of a restore has, and the archive's own about encoding, strings and search path.
// Source: pg_backup_archiver.c (18), _doSetFixedOutputState, processEncodingEntry, processStdStringsEntry.

import type { Toc } from "../archive/index.ts";
import { OperatingError } from "../base/errors.ts";
import { quoteIdentifier } from "../postgres/index.ts";
import type { RestoreOptions } from "./options.ts";

/** What the archive says of the session that it was made in. */
export interface SessionDefaults {
  readonly clientEncoding: string;
  readonly standardStrings: boolean;
  /** The statement that sets the search path; null in archives made before March 2018. */
  readonly searchPath: string | null;
}

/** Reads the entries ENCODING, STDSTRINGS and SEARCHPATH. Throws OperatingError "archive_invalid" for nonsense. */
export function readSessionDefaults(toc: Toc): SessionDefaults {
  let clientEncoding = "SQL_ASCII";
  let standardStrings = false;
  let searchPath: string | null = null;
  for (const entry of toc.entries) {
    const value = /'([^']*)'/.exec(entry.definition)?.[1];
    if (entry.description === "ENCODING") {
      if (value === undefined || !/^[A-Za-z0-9_-]+$/.test(value)) throw invalid("ENCODING", entry.definition);
      clientEncoding = value;
    } else if (entry.description === "STDSTRINGS") {
      if (value !== "on" && value !== "off") throw invalid("STDSTRINGS", entry.definition);
      standardStrings = value === "on";
    } else if (entry.description === "SEARCHPATH") {
      searchPath = entry.definition;
    }
  }
  return { clientEncoding, standardStrings, searchPath };
}

function invalid(kind: string, text: string): OperatingError {
  return new OperatingError("archive_invalid", `invalid ${kind} entry: ${JSON.stringify(text.slice(0, 100))}`);
}

const TRANSACTION_TIMEOUT_SINCE = 170000;

/** The statements that begin each connection. */
export function sessionStatements(
  defaults: SessionDefaults,
  options: RestoreOptions,
  targetVersion: number,
): readonly string[] {
  const statements = [
    "SET statement_timeout = 0;",
    "SET lock_timeout = 0;",
    "SET idle_in_transaction_session_timeout = 0;",
  ];
  if (targetVersion >= TRANSACTION_TIMEOUT_SINCE) statements.push("SET transaction_timeout = 0;");
  statements.push(
    `SET client_encoding = '${defaults.clientEncoding}';`,
    `SET standard_conforming_strings = ${defaults.standardStrings ? "on" : "off"};`,
  );
  if (options.role !== undefined) statements.push(`SET ROLE ${quoteIdentifier(options.role)};`);
  statements.push(
    defaults.searchPath ?? "SELECT pg_catalog.set_config('search_path', '', false);",
    "SET check_function_bodies = false;",
    "SET xmloption = content;",
    "SET client_min_messages = warning;",
  );
  if (!defaults.standardStrings) statements.push("SET escape_string_warning = off;");
  statements.push(`SET row_security = ${options.enableRowSecurity ? "on" : "off"};`);
  return statements;
}
