// Options that several commands share, and how their values are read.

import { OperatingError } from "../base/errors.ts";
import { allValues, hasFlag, lastValue } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
import type { ArgumentSpec, FlagSpec } from "./verb.ts";

const REPOSITORY = "Repository:";
const OUTPUT = "Output:";

/** Where the repository is and how to open it. */
export const repositoryFlags: readonly FlagSpec[] = [
  {
    long: "repo",
    short: "R",
    value: "REPO",
    description: "the repository: a folder or the URI of a storage (default: CAIRN_REPOSITORY)",
    group: REPOSITORY,
  },
  {
    long: "passphrase-file",
    value: "FILE",
    description: "file whose first line is the passphrase (default: CAIRN_PASSPHRASE, else asked on the terminal)",
    group: REPOSITORY,
  },
  {
    long: "identity",
    value: "FILE",
    description: "file with an age identity that opens the repository (default: CAIRN_IDENTITY_FILE)",
    group: REPOSITORY,
  },
  {
    long: "limit-upload",
    value: "RATE",
    description: "write to the repository at most this fast: bytes per second, e.g. 500K, 20M",
    group: REPOSITORY,
  },
  {
    long: "limit-download",
    value: "RATE",
    description: "read from the repository at most this fast",
    group: REPOSITORY,
  },
];

/** How results and progress are shown. Every command has them. */
export const outputFlags: readonly FlagSpec[] = [
  {
    long: "json",
    description: "print the result, or the error, as one JSON document on standard output",
    group: OUTPUT,
  },
  { long: "quiet", short: "q", description: "show no progress and no notes, only warnings and errors", group: OUTPUT },
];

export const jobsFlag: FlagSpec = {
  long: "jobs",
  short: "j",
  value: "NUMBER",
  description: "connections that work at once",
};

export const pgDumpFlag: FlagSpec = {
  long: "pg-dump",
  value: "PROGRAM",
  description: 'the pg_dump to use: a path, or "bundled" (default: the best one for the server)',
};

export const archiveVersionFlag: FlagSpec = {
  long: "archive-version",
  value: "VERSION",
  description: "version of the archive format, 1.14 to 1.16; an older one is read by older pg_restores",
};

export const compressFlag: FlagSpec = {
  long: "compress",
  value: "METHOD",
  description: "none, gzip[:LEVEL], lz4 or zstd[:LEVEL] (default: zstd:3 where the archive version has it, else gzip)",
};

export const overwriteFlag: FlagSpec = { long: "overwrite", description: "replace the file when there is one already" };

export const sourceArgument: ArgumentSpec = {
  name: "SOURCE",
  description: "the database: URI, key=value string or name, completed by the PG* variables",
  isRequired: false,
};

export const referenceArgument: ArgumentSpec = {
  name: "RP",
  description:
    "restore point: ID or its beginning, latest, LINEAGE@latest, LINEAGE@2026-11-22T10:00Z (newest until then)",
  isRequired: true,
};

/** The reference, which the command line cannot lack. */
export function referenceOf(line: CommandLine): string {
  return line.arguments[0] ?? "";
}

/** A whole number of at least 1; null when the option was not given. */
export function positiveNumber(line: CommandLine, name: string): number | null {
  const text = lastValue(line, name);
  if (text === null) return null;
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= 1) return value;
  throw new OperatingError("usage", `--${name} must be a whole number of at least 1, not "${text}"`);
}

/** As dump/ and restore/ have it. */
export const JOBS_MAX = 64;

/** The number of connections; null when it was not given. */
export function jobsOf(line: CommandLine): number | null {
  const jobs = positiveNumber(line, "jobs");
  if (jobs === null || jobs <= JOBS_MAX) return jobs;
  throw new OperatingError("usage", `--jobs must be from 1 to ${JOBS_MAX}, not ${jobs}`);
}

/** The value of an option that must be given. */
export function requiredValue(line: CommandLine, name: string, hint: string): string {
  const value = lastValue(line, name);
  if (value === null || value === "") throw new OperatingError("usage", `option --${name} is needed`, { hint });
  return value;
}

/** Throws OperatingError "usage" when both options were given. */
export function refuseBoth(line: CommandLine, one: string, other: string): void {
  if (!hasFlag(line, one) || !hasFlag(line, other)) return;
  throw new OperatingError("usage", `options --${one} and --${other} cannot be used together`);
}

/** The values `K=V` of a repeated option. Throws OperatingError "usage" for one without "=", or a key given twice. */
export function keyValues(line: CommandLine, name: string): Record<string, string> {
  const values = new Map<string, string>();
  for (const text of allValues(line, name)) {
    const equals = text.indexOf("=");
    if (equals < 1) throw new OperatingError("usage", `--${name} must be KEY=VALUE, not "${text}"`);
    const key = text.slice(0, equals);
    if (values.has(key)) throw new OperatingError("usage", `--${name} "${key}" was given twice`);
    values.set(key, text.slice(equals + 1));
  }
  return Object.fromEntries(values);
}
