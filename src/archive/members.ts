// Tar and directory archives are sets of members (files): the table of contents, one per entry with data, and for each
// group of large objects a list of its members. What is common to both stands here; where members come from is handed in.
//
//   toc.dat          head and table of contents
//   DUMPID.dat       the rows of an entry
//   blobs_DUMPID.toc lines "OID NAME" of large objects; up to 1.15 there is one list, blobs.toc
//   blob_OID.dat     a large object
//
// In a directory the name of compressed data ends with .gz, .lz4 or .zst. Source: pg_backup_directory.c, pg_backup_tar.c.

import { minorOf } from "./archive-version.ts";
import { readFully, type RandomAccessSource } from "./random-access-source.ts";
import type { ArchiveHeader, CompressionAlgorithm, TocEntry } from "./toc.ts";

/** Where the table of contents stands. */
export const TOC_MEMBER_NAME = "toc.dat";

const READ_BYTES = 512 * 1024;

/** An open member; dispose of it. */
export interface MemberSource extends RandomAccessSource, AsyncDisposable {}

/** Finds members by name. */
export interface ArchiveMembers {
  /** The member; null when there is none of that name. Throws for one that is no plain file. */
  open(name: string): Promise<MemberSource | null>;
}

/** True for names that pg_dump gives: no folders, nothing hidden. */
export function isMemberName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$/.test(name);
}

/** The endings of compressed members, in the order in which pg_restore looks for them. */
export const MEMBER_ENDINGS: readonly (readonly [string, CompressionAlgorithm])[] = [
  ["", "none"],
  [".gz", "gzip"],
  [".lz4", "lz4"],
  [".zst", "zstd"],
];

/** The file that the table of contents names for an entry; null for one without data. */
export function dataFileName(entry: TocEntry, header: ArchiveHeader): string | null {
  if (!entry.hadDumper) return null;
  if (entry.description === "BLOBS" && header.format === "directory") return largeObjectListName(entry, header);
  return `${entry.dumpId}.dat`;
}

/** The list of a group's large objects. */
export function largeObjectListName(entry: TocEntry, header: ArchiveHeader): string {
  return minorOf(header.version) >= 16 ? `blobs_${entry.dumpId}.toc` : "blobs.toc";
}

/** The member that holds a large object, without the ending of its compression. */
export function largeObjectName(oid: number): string {
  return `blob_${oid}.dat`;
}

/** All bytes of a source, front to back. */
export async function* readRuns(source: RandomAccessSource, signal?: AbortSignal): AsyncGenerator<Buffer, void, void> {
  for (let offset = 0; offset < source.sizeBytes;) {
    signal?.throwIfAborted();
    const bytes = await readFully(source, offset, Math.min(READ_BYTES, source.sizeBytes - offset));
    if (bytes.length === 0) return;
    offset += bytes.length;
    yield bytes;
  }
}
