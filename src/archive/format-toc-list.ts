// The text of `pg_restore --list` (18) for an archive, without selection options: what it leaves out, this leaves out.
// Source: pg_backup_archiver.c, PrintTOCSummary, _tocEntryRequired; dumputils.c, sanitize_line.

import type { ArchiveFormat, ArchiveTime, Toc, TocEntry } from "./toc.ts";

/** What the list says that is not in the archive. */
export interface TocListOptions {
  /** Name of the local time zone as strftime's %Z gives it: pg_restore prints the archive's local time beside it. */
  readonly timeZoneName: string;
  /** Lists every entry, and each entry's dependencies, as `--list --verbose` does. */
  readonly verbose?: boolean;
}

const FORMAT_NAMES: Record<ArchiveFormat, string> = { custom: "CUSTOM", directory: "DIRECTORY", tar: "TAR" };

/** The list, each line ended by a newline. Send it to a terminal encoded as `toc.textEncoding` says. */
export function formatTocList(toc: Toc, options: TocListOptions): string {
  const { header, entries } = toc;
  const lines = [
    ";",
    `; Archive created at ${formatTime(header.createdAt, options.timeZoneName)}`,
    `;     dbname: ${onOneLine(header.databaseName)}`,
    `;     TOC Entries: ${entries.length}`,
    `;     Compression: ${header.compression}`,
    `;     Dump Version: ${header.version}-0`,
    `;     Format: ${FORMAT_NAMES[header.format]}`,
    `;     Integer: ${header.intSizeBytes} bytes`,
    `;     Offset: ${header.offsetSizeBytes} bytes`,
    `;     Dumped from database version: ${header.serverVersion}`,
    `;     Dumped by pg_dump version: ${header.pgDumpVersion}`,
    ";",
    ";",
    "; Selected TOC Entries:",
    ";",
  ];
  for (const entry of entries) {
    if (options.verbose === true || isListed(entry)) lines.push(formatEntry(entry));
    if (options.verbose === true && entry.dependencies.length > 0) {
      lines.push(`;\tdepends on: ${entry.dependencies.join(" ")}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** The line of one entry, without its newline: `dump id; table oid, oid, description, namespace, tag, owner`. */
export function formatEntry(entry: TocEntry): string {
  const { dumpId, catalogId, description, namespace, tag, owner } = entry;
  const schema = namespace === null ? "-" : onOneLine(namespace);
  return `${dumpId}; ${catalogId.tableOid} ${catalogId.oid} ${description} ${schema} ${onOneLine(tag)} ${onOneLine(owner)}`;
}

const SPECIAL_DESCRIPTIONS = new Set(["ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES"]);
const DEPENDENT_DESCRIPTIONS = new Set(["ACL", "COMMENT", "STATISTICS DATA", "SECURITY LABEL"]);
const LARGE_OBJECT_DESCRIPTIONS = new Set(["ACL", "COMMENT", "SECURITY LABEL"]);

/** True when pg_restore, without options, lists and restores the entry. */
export function isListed(entry: TocEntry): boolean {
  const { description, tag, definition } = entry;
  if (SPECIAL_DESCRIPTIONS.has(description)) return false;
  if (DEPENDENT_DESCRIPTIONS.has(description) && tag.startsWith("DATABASE ")) return false;
  if (description === "<Init>" && tag === "Max OID") return false;
  if (description === "STATISTICS DATA" || entry.hadDumper || isDataWithoutDumper(entry)) return true;
  return definition !== "" && !definition.startsWith("-- load via partition root ");
}

/** Entries that count as data though no data blocks belong to them. */
function isDataWithoutDumper(entry: TocEntry): boolean {
  const { description, tag } = entry;
  if (description === "SEQUENCE SET" || description === "BLOB" || description === "BLOB METADATA") return true;
  return LARGE_OBJECT_DESCRIPTIONS.has(description) && tag.startsWith("LARGE OBJECT");
}

function onOneLine(text: string): string {
  return text.replaceAll(/[\r\n]/g, " ");
}

/** The broken-down time as mktime and strftime "%Y-%m-%d %H:%M:%S %Z" print it; fields out of range carry over. */
function formatTime(time: ArchiveTime, timeZoneName: string): string {
  const date = new Date(0);
  date.setUTCFullYear(time.yearsSince1900 + 1900, time.month, time.monthDay);
  date.setUTCHours(time.hour, time.minute, time.second);
  const year = date.getUTCFullYear();
  if (Number.isNaN(year)) return "[unknown]";
  const pad = (value: number): string => String(value).padStart(2, "0");
  const day = `${year}-${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())}`;
  const clock = `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}:${pad(date.getUTCSeconds())}`;
  return `${day} ${clock} ${timeZoneName}`;
}
