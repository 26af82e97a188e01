// pg_restore's options on Cairn's command line, and from there into RestoreOptions.

import { open } from "node:fs/promises";
import { OperatingError, messageOf } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
// The pure file itself: the room's front door would load all that writes into a database.
import { checkRestoreOptions } from "../restore/options.ts";
import type { RestoreOptions, RestoreSection } from "../restore/options.ts";
import { allValues, hasFlag, lastValue } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
import { positiveNumber } from "./common-flags.ts";
import type { FlagSpec } from "./verb.ts";

/** A list or filter of a million objects is smaller. */
const FILE_BYTES_MAX = 256 * MIB;

const WHICH = "Which objects (pg_restore's options):";
const WHAT = "What of them (pg_restore's options):";
const HOW = "How (pg_restore's options):";

const SECTIONS: readonly RestoreSection[] = ["pre-data", "data", "post-data"];

function flag(group: string, words: string, description: string): FlagSpec {
  const [names = "", value] = words.split(" ");
  const [long = "", short] = names.split("/");
  return { long, short, value, description, group };
}

/** pg_restore's options. */
export const restoreFlags: readonly FlagSpec[] = [
  flag(WHICH, "table/t TABLE", "this table, view or sequence; may be repeated, as all of these"),
  flag(WHICH, "schema/n SCHEMA", "the objects of this schema"),
  flag(WHICH, "exclude-schema/N SCHEMA", "not the objects of this schema"),
  flag(WHICH, "index/I INDEX", "this index"),
  flag(WHICH, "function/P NAME(ARGUMENTS)", "this function, written as show --list shows it"),
  flag(WHICH, "trigger/T TRIGGER", "this trigger"),
  flag(WHICH, "use-list/L FILE", "the entries of this list, in its order (from show --list)"),
  flag(WHICH, "filter FILE", "read such choices from a file"),
  flag(WHICH, "strict-names", "fail when a choice matches nothing"),

  flag(WHAT, "schema-only/s", "definitions only, no rows"),
  flag(WHAT, "data-only/a", "rows only, into tables that are there"),
  flag(WHAT, "section SECTION", "pre-data, data or post-data only; may be repeated"),
  flag(WHAT, "no-schema", "no definitions"),
  flag(WHAT, "no-data", "no rows"),
  flag(WHAT, "statistics", "statistics of the planner too"),
  flag(WHAT, "statistics-only", "statistics of the planner only"),
  flag(WHAT, "no-statistics", "no statistics of the planner"),
  flag(WHAT, "no-owner/O", "no owners: all belongs to who restores"),
  flag(WHAT, "no-privileges/x", "no GRANTs and REVOKEs"),
  flag(WHAT, "no-acl", "the same, another name"),
  flag(WHAT, "no-comments", "no comments"),
  flag(WHAT, "no-policies", "no row security policies"),
  flag(WHAT, "no-publications", "no publications"),
  flag(WHAT, "no-subscriptions", "no subscriptions"),
  flag(WHAT, "no-security-labels", "no security labels"),
  flag(WHAT, "no-table-access-method", "no table access methods"),
  flag(WHAT, "no-tablespaces", "no tablespaces"),

  flag(HOW, "create/C", "create the database of the restore point's name first; TARGET is where to connect for that"),
  flag(HOW, "clean/c", "drop what will be restored first; each is named before"),
  flag(HOW, "if-exists", "with --clean: no error for what is not there"),
  flag(HOW, "single-transaction/1", "all in one transaction: everything or nothing"),
  flag(HOW, "transaction-size NUMBER", "commit after so many objects"),
  flag(HOW, "exit-on-error/e", "stop at the first error"),
  flag(HOW, "no-data-for-failed-tables", "no rows for tables that could not be created"),
  flag(HOW, "jobs/j NUMBER", "connections that work at once, even on one table"),
  flag(HOW, "disable-triggers", "with --data-only: switch triggers off meanwhile"),
  flag(HOW, "superuser/S ROLE", "who switches them off"),
  flag(HOW, "enable-row-security", "restore under row security"),
  flag(HOW, "role ROLE", "SET ROLE first"),
  flag(HOW, "use-set-session-authorization", "SET SESSION AUTHORIZATION instead of ALTER OWNER"),

  ...refused(
    "the target is named with --to",
    "dbname/d",
    "host/h",
    "port/p",
    "username/U",
    "password/W",
    "no-password/w",
  ),
  ...refused('"cairn show --list" prints the table of contents', "list/l"),
  ...refused(
    "a restore goes into a database; show --schema prints SQL, export writes a file",
    "file/f",
    "restrict-key",
  ),
  ...refused("A restore point has one form", "format/F"),
  ...refused("Progress is shown without it", "verbose/v"),
];

function refused(reason: string, ...words: string[]): FlagSpec[] {
  return words.map((word) => {
    const [long = "", short] = word.split("/");
    const refuse = (): never => {
      throw new OperatingError("usage", `pg_restore's option --${long} makes no sense here`, { detail: `${reason}.` });
    };
    return { long, short, value: "VALUE", isValueOptional: true, description: "", refuse };
  });
}

/** Options without a value, by the name of their setting. */
const SWITCHES = {
  "schema-only": "schemaOnly",
  "data-only": "dataOnly",
  "statistics-only": "statisticsOnly",
  statistics: "statistics",
  "no-schema": "noSchema",
  "no-data": "noData",
  "no-statistics": "noStatistics",
  "strict-names": "strictNames",
  "no-owner": "noOwner",
  "no-privileges": "noAcl",
  "no-acl": "noAcl",
  "no-comments": "noComments",
  "no-policies": "noPolicies",
  "no-publications": "noPublications",
  "no-security-labels": "noSecurityLabels",
  "no-subscriptions": "noSubscriptions",
  "no-tablespaces": "noTablespaces",
  "no-table-access-method": "noTableAccessMethod",
  clean: "clean",
  "if-exists": "ifExists",
  create: "create",
  "single-transaction": "singleTransaction",
  "exit-on-error": "exitOnError",
  "no-data-for-failed-tables": "noDataForFailedTables",
  "disable-triggers": "disableTriggers",
  "enable-row-security": "enableRowSecurity",
  "use-set-session-authorization": "useSetSessionAuthorization",
} as const satisfies Readonly<Record<string, keyof RestoreOptions>>;

/** Options that may be repeated. */
const LISTS = {
  table: "tables",
  schema: "schemas",
  "exclude-schema": "excludeSchemas",
  index: "indexes",
  function: "functions",
  trigger: "triggers",
} as const satisfies Readonly<Record<string, keyof RestoreOptions>>;

type Writable = { -readonly [Name in keyof RestoreOptions]: RestoreOptions[Name] };

/** pg_restore's options as settings; only those that were given are there. Reads the files of --use-list and --filter. */
export async function restoreOptionsOf(line: CommandLine): Promise<RestoreOptions> {
  const options: Writable = {};
  for (const [name, setting] of Object.entries(SWITCHES)) if (hasFlag(line, name)) options[setting] = true;
  for (const [name, setting] of Object.entries(LISTS)) {
    const values = allValues(line, name);
    if (values.length > 0) options[setting] = values;
  }
  const sections = allValues(line, "section");
  if (sections.length > 0) options.sections = sections.map(sectionOf);
  const superuser = lastValue(line, "superuser");
  if (superuser !== null) options.superuser = superuser;
  const role = lastValue(line, "role");
  if (role !== null) options.role = role;
  const jobs = positiveNumber(line, "jobs");
  if (jobs !== null) options.jobs = jobs;
  const transactionSize = positiveNumber(line, "transaction-size");
  if (transactionSize !== null) options.transactionSize = transactionSize;
  checkRestoreOptions(options);
  await readFiles(line, options);
  return options;
}

async function readFiles(line: CommandLine, options: Writable): Promise<void> {
  const useList = lastValue(line, "use-list");
  if (useList !== null) options.useList = await readTextFile(useList);
  const filters = allValues(line, "filter");
  if (filters.length > 0) options.filter = (await Promise.all(filters.map(readTextFile))).join("\n");
}

function sectionOf(text: string): RestoreSection {
  const section = SECTIONS.find((name) => name === text);
  if (section !== undefined) return section;
  throw new OperatingError("usage", `unknown section "${text}"`, { hint: `The sections are ${SECTIONS.join(", ")}.` });
}

async function readTextFile(path: string): Promise<string> {
  try {
    await using file = await open(path, "r");
    const { size } = await file.stat();
    if (size > FILE_BYTES_MAX) throw new Error(`it is larger than ${FILE_BYTES_MAX / MIB} MiB`);
    return await file.readFile("utf8");
  } catch (error) {
    throw new OperatingError("usage", `could not read file "${path}": ${messageOf(error)}`);
  }
}
