// pg_dump's flags: which are passed on as they are, which make no sense here and why (pure). pg_dump itself interprets
// those passed on, so all its selection works. Long and short forms; values as `--flag=value`, `--flag value`, `-fvalue`.
// Source: pg_dump 18's --help and the PostgreSQL manual, "pg_dump".

import { OperatingError } from "../base/errors.ts";

interface Flag {
  readonly long: string;
  readonly short?: string;
  readonly takesValue?: boolean;
  /** First major of pg_dump that knows it, when later than 13. */
  readonly since?: number;
}

const PASSED: readonly Flag[] = [
  { long: "data-only", short: "a" },
  { long: "large-objects", since: 16 },
  { long: "blobs", short: "b" },
  { long: "no-large-objects", since: 16 },
  { long: "no-blobs", short: "B" },
  { long: "clean", short: "c" },
  { long: "create", short: "C" },
  { long: "extension", short: "e", takesValue: true, since: 14 },
  { long: "encoding", short: "E", takesValue: true },
  { long: "schema", short: "n", takesValue: true },
  { long: "exclude-schema", short: "N", takesValue: true },
  { long: "no-owner", short: "O" },
  { long: "schema-only", short: "s" },
  { long: "table", short: "t", takesValue: true },
  { long: "exclude-table", short: "T", takesValue: true },
  { long: "no-privileges", short: "x" },
  { long: "no-acl" },
  { long: "disable-dollar-quoting" },
  { long: "disable-triggers" },
  { long: "enable-row-security" },
  { long: "exclude-extension", takesValue: true, since: 17 },
  { long: "exclude-table-and-children", takesValue: true, since: 16 },
  { long: "exclude-table-data", takesValue: true },
  { long: "exclude-table-data-and-children", takesValue: true, since: 16 },
  { long: "extra-float-digits", takesValue: true },
  { long: "filter", takesValue: true },
  { long: "if-exists" },
  { long: "include-foreign-data", takesValue: true },
  { long: "load-via-partition-root" },
  { long: "lock-wait-timeout", takesValue: true },
  { long: "no-comments" },
  { long: "no-data", since: 18 },
  { long: "no-policies", since: 18 },
  { long: "no-publications" },
  { long: "no-schema", since: 18 },
  { long: "no-security-labels" },
  { long: "no-statistics", since: 18 },
  { long: "no-subscriptions" },
  { long: "no-table-access-method", since: 15 },
  { long: "no-tablespaces" },
  { long: "no-toast-compression", since: 14 },
  { long: "no-unlogged-table-data" },
  { long: "quote-all-identifiers" },
  { long: "role", takesValue: true },
  { long: "section", takesValue: true },
  { long: "sequence-data", since: 18 },
  { long: "serializable-deferrable" },
  { long: "snapshot", takesValue: true },
  { long: "statistics", since: 18 },
  { long: "statistics-only", since: 18 },
  { long: "strict-names" },
  { long: "superuser", short: "S", takesValue: true },
  { long: "table-and-children", takesValue: true, since: 16 },
  { long: "use-set-session-authorization" },
];

interface Refusal extends Flag {
  readonly reason: string;
}

const IS_THE_ARCHIVE = "Cairn writes the archive itself; name the file with --file, the number of readers with --jobs";
const AS_INSERTS = "rows are kept as COPY text; restore them into another kind of database with a plain export";
const IS_CONNECTION = "the connection is given by SOURCE and the PG* variables";

const REFUSED: readonly Refusal[] = [
  { long: "file", short: "f", takesValue: true, reason: IS_THE_ARCHIVE },
  {
    long: "format",
    short: "F",
    takesValue: true,
    reason: "Cairn's archives are of the custom format; export has --format",
  },
  { long: "jobs", short: "j", takesValue: true, reason: IS_THE_ARCHIVE },
  {
    long: "compress",
    short: "Z",
    takesValue: true,
    reason: "Cairn compresses by itself: --compress none or zstd:LEVEL",
  },
  { long: "inserts", reason: AS_INSERTS },
  { long: "column-inserts", reason: AS_INSERTS },
  { long: "attribute-inserts", reason: AS_INSERTS },
  { long: "rows-per-insert", takesValue: true, reason: AS_INSERTS },
  { long: "on-conflict-do-nothing", reason: AS_INSERTS },
  { long: "binary-upgrade", reason: "what it writes is for pg_upgrade alone" },
  {
    long: "restrict-key",
    takesValue: true,
    reason: "it belongs to plain text: give it to the pg_restore that writes that",
  },
  { long: "sync-method", takesValue: true, reason: "Cairn always makes durable what it calls done" },
  { long: "no-sync", reason: "Cairn always makes durable what it calls done" },
  { long: "no-synchronized-snapshots", reason: "readers always share one snapshot" },
  { long: "verbose", short: "v", reason: "progress is shown without it" },
  { long: "host", short: "h", takesValue: true, reason: IS_CONNECTION },
  { long: "port", short: "p", takesValue: true, reason: IS_CONNECTION },
  { long: "username", short: "U", takesValue: true, reason: IS_CONNECTION },
  { long: "dbname", short: "d", takesValue: true, reason: IS_CONNECTION },
  { long: "password", short: "W", reason: IS_CONNECTION },
  { long: "no-password", short: "w", reason: IS_CONNECTION },
];

/** A pg_dump flag as the user gave it, in its long form. */
export interface SelectionFlag {
  readonly name: string;
  readonly value: string | null;
}

/** pg_dump flags whose meaning the readers or the checks share. */
export interface SelectionSummary {
  readonly schemaOnly: boolean;
  readonly lockWaitTimeout: string | null;
  readonly role: string | null;
  readonly enableRowSecurity: boolean;
}

/** The pg_dump flags of a command line. Throws OperatingError "usage" for refused and unknown ones. */
export function parseSelectionFlags(words: readonly string[]): SelectionFlag[] {
  const flags: SelectionFlag[] = [];
  if (words.some((word) => word.includes("\0"))) throw new OperatingError("usage", "an option holds a zero byte");
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index]!;
    const parsed = word.startsWith("--") ? parseLong(word) : parseShort(word);
    if (parsed.flag.takesValue !== true) {
      if (parsed.value !== null) throw new OperatingError("usage", `option --${parsed.flag.long} takes no value`);
    } else if (parsed.value === null) {
      index += 1;
      const value = words[index];
      if (value === undefined) throw new OperatingError("usage", `option --${parsed.flag.long} needs a value`);
      flags.push({ name: parsed.flag.long, value });
      continue;
    }
    flags.push({ name: parsed.flag.long, value: parsed.value });
  }
  return flags;
}

/** Throws OperatingError "usage" when this major of pg_dump does not know one of the flags. */
export function checkFlagsKnown(flags: readonly SelectionFlag[], pgDumpMajor: number): void {
  for (const flag of flags) {
    const since = PASSED.find(({ long }) => long === flag.name)?.since ?? 0;
    if (pgDumpMajor >= since) continue;
    throw new OperatingError("usage", `option --${flag.name} is not known to pg_dump ${pgDumpMajor}`, {
      hint: `It came with PostgreSQL ${since}; name a newer program with --pg-dump.`,
    });
  }
}

/** The flags as pg_dump's arguments. */
export function toArguments(flags: readonly SelectionFlag[]): string[] {
  return flags.map(({ name, value }) => (value === null ? `--${name}` : `--${name}=${value}`));
}

export function summarizeFlags(flags: readonly SelectionFlag[]): SelectionSummary {
  const has = (name: string): boolean => flags.some((flag) => flag.name === name);
  const valueOf = (name: string): string | null => flags.findLast((flag) => flag.name === name)?.value ?? null;
  return {
    schemaOnly: has("schema-only"),
    lockWaitTimeout: valueOf("lock-wait-timeout"),
    role: valueOf("role"),
    enableRowSecurity: has("enable-row-security"),
  };
}

/** All flags of pg_dump that are passed on, for help texts and command-line parsers. */
export function passedFlags(): readonly Flag[] {
  return PASSED;
}

/** All flags that are refused. */
export function refusedFlags(): readonly Flag[] {
  return REFUSED;
}

interface ParsedFlag {
  readonly flag: Flag;
  readonly value: string | null;
}

function parseLong(word: string): ParsedFlag {
  const equals = word.indexOf("=");
  const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
  return {
    flag: findFlag(`--${name}`, (flag) => flag.long === name),
    value: equals < 0 ? null : word.slice(equals + 1),
  };
}

function parseShort(word: string): ParsedFlag {
  const letter = word.slice(1, 2);
  const flag = findFlag(`-${letter}`, (candidate) => letter !== "" && candidate.short === letter);
  return { flag, value: word.length > 2 ? word.slice(2) : null };
}

function findFlag(text: string, matches: (flag: Flag) => boolean): Flag {
  const refusal = REFUSED.find(matches);
  if (refusal !== undefined) {
    throw new OperatingError("usage", `pg_dump's option ${text} makes no sense here`, {
      detail: asSentence(refusal.reason),
    });
  }
  const flag = PASSED.find(matches);
  if (flag === undefined) throw new OperatingError("usage", `unknown option "${text}"`);
  return flag;
}

function asSentence(reason: string): string {
  return `${reason.slice(0, 1).toUpperCase()}${reason.slice(1)}.`;
}
