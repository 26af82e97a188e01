// Large objects in a table of contents, in the two ways pg_dump writes them.
//
// From 17 on (1.16): groups of up to 1000 with one owner and one ACL. "BLOB METADATA", whose definition is a list of
// OIDs, one a line; "BLOBS" with their data; an "ACL" tagged "LARGE OBJECTS first..last" whose GRANT and REVOKE name
// the first only and are meant for each. Up to 16: a "BLOB" per object, one "BLOBS", an "ACL" per object.
// Comments and security labels are per object in both.
// Source: pg_dump.c, getLOs, dumpLO; pg_backup_db.c, IssueCommandPerBlob, IssueACLPerBlob.

import { OperatingError } from "../base/errors.ts";
import { minorOf } from "./archive-version.ts";
import { LARGE_OBJECT_COUNT_MAX, OID_MAX } from "./limits.ts";
import type { Toc, TocEntry } from "./toc.ts";

/** The OIDs of a BLOB METADATA entry. Throws archive_invalid when its definition is something else. */
export function oidsOfMetadata(entry: TocEntry): number[] {
  const lines = entry.definition.split("\n");
  const last = lines.pop();
  const oids = lines.map(Number);
  const isValid = lines.every((line) => /^[1-9][0-9]{0,9}$/.test(line)) && oids.every((oid) => oid <= OID_MAX);
  if (last !== "" || oids.length === 0 || oids.length > LARGE_OBJECT_COUNT_MAX || !isValid) {
    throw new OperatingError(
      "archive_invalid",
      `archive is not valid: the definition of dump id ${entry.dumpId} is not a list of large object OIDs`,
    );
  }
  return oids;
}

/**
 * The OIDs whose data a BLOBS entry holds: of its group's metadata, or of all BLOB entries. Null when the table of contents
 * does not name them, as before 9.0.
 */
export function oidsOfData(toc: Toc, blobs: TocEntry): Set<number> | null {
  if (minorOf(toc.header.version) >= 16) {
    const ids = new Set(blobs.dependencies);
    const metadata = toc.entries.filter(
      ({ dumpId, description }) => description === "BLOB METADATA" && ids.has(dumpId),
    );
    return metadata.length === 0 ? null : new Set(metadata.flatMap(oidsOfMetadata));
  }
  const each = toc.entries.filter(({ description }) => description === "BLOB");
  return each.length === 0 ? null : new Set(each.map(({ tag }) => Number(tag)));
}

/** True for the ACL of a group of large objects, whose commands are written for the first object only. */
export function isGroupAcl(entry: TocEntry): boolean {
  return entry.description === "ACL" && entry.tag.startsWith("LARGE OBJECTS");
}

/** The commands of a group's ACL, written for one object: the OID after each unquoted LARGE OBJECT is replaced. */
export function aclForLargeObject(definition: string, oid: number): string {
  // Quoted role names are passed over whole, so that nothing inside them is taken for the keyword.
  return definition.replaceAll(/"(?:[^"]|"")*"|LARGE OBJECT [0-9]+/g, (match) =>
    match.startsWith('"') ? match : `LARGE OBJECT ${oid}`,
  );
}

/** The OID in the tag of a comment, security label or ACL of one large object; null when it is none. */
export function largeObjectOfTag(entry: TocEntry): number | null {
  const digits = /^LARGE OBJECT ([1-9][0-9]{0,9})$/.exec(entry.tag)?.[1];
  return digits === undefined ? null : Number(digits);
}

/** The BLOB entry of one object of a group, as pg_dump 15 writes it. */
export function largeObjectEntry(group: TocEntry, oid: number, dumpId: number): TocEntry {
  return {
    dumpId,
    hadDumper: false,
    catalogId: { tableOid: group.catalogId.tableOid, oid },
    tag: String(oid),
    description: "BLOB",
    section: "pre-data",
    definition: `SELECT pg_catalog.lo_create('${oid}');\n`,
    dropStatement: `SELECT pg_catalog.lo_unlink('${oid}');\n`,
    copyStatement: "",
    namespace: null,
    tablespace: null,
    tableAccessMethod: null,
    relationKind: "",
    owner: group.owner,
    dependencies: group.dependencies,
  };
}
