// Facts about archive versions: their codes in the head, and which pg_restore reads what.
//
//   1.12  pg_dump 9.0 to 10.2     1.13  10.3 (and the minor releases of March 2018) to 11
//   1.14  12 to 15, adds the table access method          1.15  16, compression algorithm instead of level
//   1.16  17 and 18, adds relkind, large objects in groups (BLOB METADATA, several BLOBS)
//
// Source: pg_backup_archiver.h, K_VERS_*; pg_backup.h, ArchiveFormat; compression.h.

import { unsupportedArchive } from "./archive-errors.ts";
import type { ArchiveFormat, ArchiveVersion, CompressionAlgorithm, Section, Toc } from "./toc.ts";

/** Minor archive version, 12 to 16. */
export function minorOf(version: ArchiveVersion): number {
  return Number(version.slice(2));
}

/** The version of "1.minor", or null when it is not read here. */
export function versionOfMinor(minor: number): ArchiveVersion | null {
  const versions: readonly ArchiveVersion[] = ["1.12", "1.13", "1.14", "1.15", "1.16"];
  return versions[minor - 12] ?? null;
}

/** The byte of each format in the head. */
export const FORMAT_CODES = { custom: 1, tar: 3, directory: 5 } satisfies Record<ArchiveFormat, number>;

/** The byte of each compression algorithm in the head, from 1.15 on its index here. */
export const COMPRESSION_ALGORITHMS: readonly CompressionAlgorithm[] = ["none", "gzip", "lz4", "zstd"];

/** The sections in the order of their codes, which start at 1. */
export const SECTIONS: readonly Section[] = ["none", "pre-data", "data", "post-data"];

/** The oldest major of pg_restore that reads an archive of this version and compression. */
export function oldestPgRestore(version: ArchiveVersion, compression: CompressionAlgorithm): number {
  const majors: Record<ArchiveVersion, number> = { "1.12": 9, "1.13": 11, "1.14": 12, "1.15": 16, "1.16": 17 };
  const forCompression = compression === "zstd" || compression === "lz4" ? 16 : 9;
  return Math.max(majors[version], forCompression);
}

/**
 * Throws unless archives like this can be written: 1.14 with none or gzip, 1.15 and 1.16 with each compression, tar with
 * none; large objects in groups in 1.16 only.
 */
export function checkWritable({ header, entries }: Toc): void {
  const { version, format, compression } = header;
  if (format === "tar" && compression !== "none") {
    throw unsupportedArchive(
      "could not write a compressed tar archive",
      "Compress the file as a whole, or use custom.",
    );
  }
  if (minorOf(version) < 14) throw unsupportedArchive(`could not write an archive of version ${version}`);
  if (minorOf(version) < 15 && (compression === "zstd" || compression === "lz4")) {
    throw unsupportedArchive(
      `could not write an archive of version ${version} with ${compression} compression`,
      "pg_restore before 16 reads only gzip and uncompressed archives.",
    );
  }
  if (minorOf(version) < 16 && entries.some((entry) => entry.description === "BLOB METADATA")) {
    throw unsupportedArchive(`archive version ${version} cannot hold large objects in groups`);
  }
}
