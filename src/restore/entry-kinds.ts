// What can be told of an entry by its kind, tag and text alone.
// Source: pg_backup_archiver.c (18), _tocEntryRestorePass, _tocEntryIsACL, is_load_via_partition_root.

import type { TocEntry } from "../archive/index.ts";
import { readQualifiedName } from "./sql-text.ts";

/** A restore walks the entries three times: objects and data, then privileges, then what needs the privileges. */
export type RestorePass = "main" | "acl" | "post-acl";

export const RESTORE_PASSES: readonly RestorePass[] = ["main", "acl", "post-acl"];

const PARTITION_ROOT_MARK = "-- load via partition root ";

/** True for ACL and DEFAULT ACL entries. */
export function isAcl(entry: TocEntry): boolean {
  return entry.description === "ACL" || entry.description === "ACL LANGUAGE" || entry.description === "DEFAULT ACL";
}

/** True for entries that only set up the session: ENCODING, STDSTRINGS, SEARCHPATH. */
export function isSessionSetting(entry: TocEntry): boolean {
  const kind = entry.description;
  return kind === "ENCODING" || kind === "STDSTRINGS" || kind === "SEARCHPATH";
}

/** True for DATABASE and DATABASE PROPERTIES. */
export function isDatabase(entry: TocEntry): boolean {
  return entry.description === "DATABASE" || entry.description === "DATABASE PROPERTIES";
}

/** True for an entry about large objects by its tag: ACL, COMMENT, SECURITY LABEL of `LARGE OBJECT …`. */
export function concernsLargeObject(entry: TocEntry): boolean {
  const kind = entry.description;
  return (kind === "ACL" || kind === "COMMENT" || kind === "SECURITY LABEL") && entry.tag.startsWith("LARGE OBJECT");
}

/** The pass in which an entry is restored. */
export function restorePass(entry: TocEntry): RestorePass {
  if (isAcl(entry)) return "acl";
  const kind = entry.description;
  if (kind === "EVENT TRIGGER" || kind === "MATERIALIZED VIEW DATA") return "post-acl";
  if ((kind === "COMMENT" || kind === "SECURITY LABEL") && entry.tag.startsWith("EVENT TRIGGER ")) return "post-acl";
  if (kind === "STATISTICS DATA" && entry.section === "post-data") return "post-acl";
  return "main";
}

/** True when the definition is only pg_dump's mark of a load through the partition root. */
export function hasPartitionRootMark(entry: TocEntry): boolean {
  return entry.definition.startsWith(PARTITION_ROOT_MARK);
}

/** True when the rows of a TABLE DATA entry go to another table than its own, an ancestor in a partition tree. */
export function loadsThroughPartitionRoot(entry: TocEntry): boolean {
  if (hasPartitionRootMark(entry)) return true;
  if (entry.copyStatement === "") return false;
  const target = entry.copyStatement.startsWith("COPY ")
    ? readQualifiedName(entry.copyStatement, "COPY ".length)
    : null;
  if (target === null) return true;
  const own = entry.namespace === null || entry.namespace === "" ? [entry.tag] : [entry.namespace, entry.tag];
  return target.parts.length !== own.length || target.parts.some((part, index) => part !== own[index]);
}
