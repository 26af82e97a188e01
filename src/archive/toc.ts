// The table of contents of a pg_dump archive, as data. No bytes are read or written here.
//
// Strings are decoded as UTF-8 when every string of the table of contents is valid UTF-8, else each byte is one
// character (latin1); `textEncoding` says which, and whoever sends a string to a server or writes it to an archive
// encodes it the same way, so that the bytes come out as pg_dump wrote them.
// Source: pg_backup_archiver.c, WriteToc, WriteHead; pg_backup_archiver.h.

export type TextEncoding = "utf8" | "latin1";

/** Archive format version "major.minor", revision always 0; 1.12 to 1.16 are read, 1.14 to 1.16 written. */
export type ArchiveVersion = "1.12" | "1.13" | "1.14" | "1.15" | "1.16";

export type CompressionAlgorithm = "none" | "gzip" | "lz4" | "zstd";

export type ArchiveFormat = "custom" | "directory" | "tar";

/** The broken-down local time in an archive's header, fields as struct tm (month from 0, years since 1900). */
export interface ArchiveTime {
  readonly second: number;
  readonly minute: number;
  readonly hour: number;
  readonly monthDay: number;
  readonly month: number;
  readonly yearsSince1900: number;
  readonly isDst: number;
}

export interface ArchiveHeader {
  readonly version: ArchiveVersion;
  readonly format: ArchiveFormat;
  readonly intSizeBytes: number;
  readonly offsetSizeBytes: number;
  readonly compression: CompressionAlgorithm;
  /** Only archives below 1.15 say it; -1 when unknown. */
  readonly compressionLevel: number;
  readonly createdAt: ArchiveTime;
  readonly databaseName: string;
  readonly serverVersion: string;
  readonly pgDumpVersion: string;
}

/** pg_dump's section of an entry. */
export type Section = "none" | "pre-data" | "data" | "post-data";

/** Where the archive says an entry's data is: "set" has an offset, "not-set" was written to a pipe. */
export type DataState = "not-set" | "set" | "no-data";

/** Text fields that an archive may hold as null or as the empty string; both are read as "". */
export type OptionalText = "definition" | "dropStatement" | "copyStatement" | "owner";

/** How an archive file holds an entry, beyond what the entry says: kept so that it can be written again byte by byte. */
export interface EntryLayout {
  /** The fields that are stored as empty strings; other fields that are "" are stored as null, as pg_dump does. */
  readonly emptyFields: readonly OptionalText[];
  /** Said only by pg_dump before 12: the table was created WITH OIDS. */
  readonly withOids: boolean;
  readonly dataState: DataState;
  /** Byte offset of the entry's data block from the start of the archive; 0 unless the state is "set". */
  readonly dataOffset: number;
  /** Tar and directory archives: the file that the table of contents names for the entry's data; null when none. */
  readonly fileName?: string | null;
}

export interface TocEntry {
  readonly dumpId: number;
  /** True when data blocks belong to the entry (TABLE DATA, BLOBS and the like). */
  readonly hadDumper: boolean;
  readonly catalogId: { readonly tableOid: number; readonly oid: number };
  readonly tag: string;
  /** pg_dump's kind of object: "TABLE", "TABLE DATA", "INDEX", … Unknown kinds are carried through. */
  readonly description: string;
  readonly section: Section;
  readonly definition: string;
  readonly dropStatement: string;
  readonly copyStatement: string;
  readonly namespace: string | null;
  readonly tablespace: string | null;
  readonly tableAccessMethod: string | null;
  /** pg_class.relkind as a character, "" when there is none (1.16 and later). */
  readonly relationKind: string;
  readonly owner: string;
  readonly dependencies: readonly number[];
  /** Absent for entries that were not read from an archive file. */
  readonly layout?: EntryLayout;
}

export interface Toc {
  readonly header: ArchiveHeader;
  readonly textEncoding: TextEncoding;
  /** In the order of the archive. Dump ids are unique. */
  readonly entries: readonly TocEntry[];
}
