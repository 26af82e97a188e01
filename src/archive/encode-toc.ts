// Writes head and table of contents: the inverse of read-toc.ts, byte by byte where the entries have their layout.
// Source: pg_backup_archiver.c, WriteHead, WriteToc; pg_backup_{custom,tar,directory}.c, _WriteExtraToc.

import { assert } from "../base/assert.ts";
import { unsupportedArchive } from "./archive-errors.ts";
import { COMPRESSION_ALGORITHMS, FORMAT_CODES, SECTIONS, minorOf } from "./archive-version.ts";
import { dataFileName } from "./members.ts";
import { ByteWriter } from "./primitives.ts";
import type { ArchiveHeader, OptionalText, TextEncoding, Toc, TocEntry } from "./toc.ts";

/** Bytes of head and table of contents. */
export interface EncodedToc {
  /** The buffer belongs to the caller. */
  readonly bytes: Buffer;
  /** Where the table of contents begins: the length of the head. */
  readonly tocOffset: number;
  /** By dump id, the position in `bytes` of the data offset (state byte first) of each entry with data; custom only. */
  readonly offsetPositions: ReadonlyMap<number, number>;
}

/**
 * Encodes head and table of contents of a custom archive, or the toc.dat of a tar or directory archive. `offsets`:
 * "as-read" repeats what `layout` says; "not-set" writes each entry with data as pg_dump does before the data is written.
 */
export function encodeHeadAndToc(toc: Toc, options: { readonly offsets?: "as-read" | "not-set" } = {}): EncodedToc {
  const { header, textEncoding, entries } = toc;
  const writer = new ByteWriter(header.intSizeBytes, header.offsetSizeBytes, 1024 + entries.length * 512);
  writeHead(writer, header, textEncoding);
  const tocOffset = writer.length;
  writer.writeInt(entries.length);
  const asRead = (options.offsets ?? "as-read") === "as-read";
  const offsetPositions = new Map<number, number>();
  for (const entry of entries) {
    writeEntry(writer, entry, toc);
    if (header.format !== "custom") {
      const asWritten = asRead ? entry.layout?.fileName : undefined;
      writer.writeString((asWritten === undefined ? dataFileName(entry, header) : asWritten) ?? "", textEncoding);
      continue;
    }
    if (entry.hadDumper) offsetPositions.set(entry.dumpId, writer.length);
    const layout = asRead ? entry.layout : undefined;
    writer.writeOffset(layout?.dataState ?? (entry.hadDumper ? "not-set" : "no-data"), layout?.dataOffset ?? 0);
  }
  return { bytes: writer.bytes(), tocOffset, offsetPositions };
}

function writeHead(writer: ByteWriter, header: ArchiveHeader, encoding: TextEncoding): void {
  const { version, format, compression, createdAt } = header;
  const minor = minorOf(version);
  writer.writeBytes(Buffer.from("PGDMP", "latin1"));
  // The table of contents of a directory says that it is of a tar archive.
  const code = format === "custom" ? FORMAT_CODES.custom : FORMAT_CODES.tar;
  for (const byte of [1, minor, 0, header.intSizeBytes, header.offsetSizeBytes, code]) {
    writer.writeByte(byte);
  }
  if (minor >= 15) writer.writeByte(COMPRESSION_ALGORITHMS.indexOf(compression));
  else writer.writeInt(compressionLevelOf(header));
  for (const value of [createdAt.second, createdAt.minute, createdAt.hour, createdAt.monthDay]) writer.writeInt(value);
  for (const value of [createdAt.month, createdAt.yearsSince1900, createdAt.isDst]) writer.writeInt(value);
  for (const text of [header.databaseName, header.serverVersion, header.pgDumpVersion]) {
    writer.writeString(text, encoding);
  }
}

/** Below 1.15 the level says the algorithm: 0 is none, anything else gzip. */
function compressionLevelOf(header: ArchiveHeader): number {
  const { compression, compressionLevel, version } = header;
  if (compression === "none") return 0;
  if (compression === "gzip") return compressionLevel === 0 ? -1 : compressionLevel;
  throw unsupportedArchive(`archive version ${version} cannot hold ${compression} compression`);
}

function writeEntry(writer: ByteWriter, entry: TocEntry, toc: Toc): void {
  const encoding = toc.textEncoding;
  const minor = minorOf(toc.header.version);
  const text = (value: string | null): void => writer.writeString(value, encoding);
  const optional = (field: OptionalText): void => {
    const isNull = entry[field] === "" && !entry.layout?.emptyFields.includes(field);
    text(isNull ? null : entry[field]);
  };
  assert(entry.relationKind.length <= 1, "a relation kind is one character");
  writer.writeInt(entry.dumpId);
  writer.writeInt(entry.hadDumper ? 1 : 0);
  text(String(entry.catalogId.tableOid));
  text(String(entry.catalogId.oid));
  text(entry.tag);
  text(entry.description);
  writer.writeInt(SECTIONS.indexOf(entry.section) + 1);
  optional("definition");
  optional("dropStatement");
  optional("copyStatement");
  text(entry.namespace);
  text(entry.tablespace);
  if (minor >= 14) text(entry.tableAccessMethod);
  if (minor >= 16) writer.writeInt(entry.relationKind === "" ? 0 : entry.relationKind.charCodeAt(0));
  optional("owner");
  text(entry.layout?.withOids === true ? "true" : "false");
  for (const dependency of entry.dependencies) text(String(dependency));
  text(null);
}
