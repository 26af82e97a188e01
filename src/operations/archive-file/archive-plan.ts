// Which archive version and compression a file gets, and which pg_restore reads it (pure).

import {
  oldestPgRestore,
  type ArchiveFormat,
  type ArchiveVersion,
  type CompressionAlgorithm,
  type Toc,
} from "../../archive/index.ts";
import { OperatingError } from "../../base/errors.ts";

const WRITTEN_VERSIONS: readonly ArchiveVersion[] = ["1.14", "1.15", "1.16"];
const GZIP_LEVEL_DEFAULT = 6;
const ZSTD_LEVEL_DEFAULT = 3;

export interface ArchivePlan {
  readonly format: ArchiveFormat;
  readonly version: ArchiveVersion;
  readonly algorithm: CompressionAlgorithm;
  readonly level: number;
  /** "zstd:3", "none". */
  readonly compression: string;
  /** E.g. "pg_restore 17 and later". */
  readonly readableBy: string;
}

export interface ArchiveWishes {
  /** Custom when left out. */
  readonly format?: ArchiveFormat;
  readonly archiveVersion: string | null;
  readonly compression: string | null;
}

/** Settles wishes against what pg_dump wrote. Throws "usage" for what cannot be written. */
export function planArchive(toc: Toc, wishes: ArchiveWishes): ArchivePlan {
  const version = planVersion(toc, wishes.archiveVersion);
  const { format = "custom" } = wishes;
  const { algorithm, level } = planCompression(version, format, wishes.compression);
  const oldest = oldestPgRestore(version, algorithm);
  const compression = level === 0 ? algorithm : `${algorithm}:${level}`;
  return { format, version, algorithm, level, compression, readableBy: `pg_restore ${oldest} and later` };
}

function planVersion(toc: Toc, wish: string | null): ArchiveVersion {
  if (wish === null) return toc.header.version < "1.14" ? "1.14" : toc.header.version;
  const version = WRITTEN_VERSIONS.find((candidate) => candidate === wish);
  if (version !== undefined) return version;
  throw new OperatingError("usage", `archive version "${wish}" cannot be written`, {
    hint: `Versions are ${WRITTEN_VERSIONS.join(", ")}: for pg_restore 12 to 15, 16, and 17 and later.`,
  });
}

function planCompression(
  version: ArchiveVersion,
  format: ArchiveFormat,
  wish: string | null,
): { algorithm: CompressionAlgorithm; level: number } {
  if (format === "tar") return planTarCompression(wish);
  if (wish === null && version === "1.14") return { algorithm: "gzip", level: GZIP_LEVEL_DEFAULT };
  const match = /^(none|gzip|lz4|zstd)(?::(-?\d+))?$/.exec(wish ?? "zstd");
  if (match === null) {
    throw new OperatingError("usage", `compression "${wish}" is not known`, {
      hint: "It is none, gzip, gzip:1 to gzip:9, lz4, zstd, or zstd:1 to zstd:19.",
    });
  }
  const algorithm = match[1] as CompressionAlgorithm;
  if ((algorithm === "zstd" || algorithm === "lz4") && version === "1.14") {
    throw new OperatingError("usage", `archive version 1.14 cannot hold ${algorithm} data`, {
      hint: "Say --compress gzip or none, or --archive-version 1.16 for pg_restore 17 and later.",
    });
  }
  return { algorithm, level: checkLevel(algorithm, match[2]) };
}

function planTarCompression(wish: string | null): { algorithm: CompressionAlgorithm; level: number } {
  if (wish === null || wish === "none") return { algorithm: "none", level: 0 };
  throw new OperatingError("usage", "a tar archive cannot be compressed", {
    hint: "pg_restore reads no compressed one. Compress the file as a whole, or use --format custom or directory.",
  });
}

function checkLevel(algorithm: CompressionAlgorithm, text: string | undefined): number {
  if (algorithm === "none") return 0;
  if (algorithm === "lz4") {
    if (text === undefined) return 0;
    throw new OperatingError("usage", "lz4 is written at one level: say lz4 without a number");
  }
  const level = text === undefined ? (algorithm === "gzip" ? GZIP_LEVEL_DEFAULT : ZSTD_LEVEL_DEFAULT) : Number(text);
  const max = algorithm === "gzip" ? 9 : 19;
  if (level >= 1 && level <= max) return level;
  throw new OperatingError("usage", `${algorithm} has levels 1 to ${max}, not ${level}`);
}

/** The table of contents with the plan's header. */
export function withPlannedHeader(toc: Toc, plan: ArchivePlan): Toc {
  const { format, version, algorithm: compression, level: compressionLevel } = plan;
  return { ...toc, header: { ...toc.header, version, compression, compressionLevel, format } };
}
