// pg_dump's flags on Cairn's command lines: which there are comes from dump/, the words of the help text stand here.

// The pure file itself: the room's front door would load all that reads a database, only to print a help text.
import { parseSelectionFlags, passedFlags, refusedFlags, toArguments } from "../dump/selection-flags.ts";
import type { CommandLine } from "./command-line.ts";
import type { FlagSpec } from "./verb.ts";

const WHICH = "Which objects (pg_dump's options):";
const WHAT = "What of them (pg_dump's options):";
const HOW = "How (pg_dump's options):";

interface FlagText {
  readonly group: string;
  readonly description: string;
  readonly value?: string;
}

function which(description: string, value?: string): FlagText {
  return { group: WHICH, description, ...(value === undefined ? {} : { value }) };
}

function what(description: string, value?: string): FlagText {
  return { group: WHAT, description, ...(value === undefined ? {} : { value }) };
}

function how(description: string, value?: string): FlagText {
  return { group: HOW, description, ...(value === undefined ? {} : { value }) };
}

const TEXTS: Readonly<Record<string, FlagText>> = {
  schema: which("these schemas only", "PATTERN"),
  "exclude-schema": which("not these schemas", "PATTERN"),
  table: which("these tables, views, sequences only", "PATTERN"),
  "exclude-table": which("not these tables", "PATTERN"),
  "table-and-children": which("these tables with their children and partitions", "PATTERN"),
  "exclude-table-and-children": which("not these tables, nor their children and partitions", "PATTERN"),
  "exclude-table-data": which("these tables without their rows", "PATTERN"),
  "exclude-table-data-and-children": which("these tables, their children and partitions without rows", "PATTERN"),
  "include-foreign-data": which("rows of foreign tables on these servers too", "PATTERN"),
  extension: which("these extensions only", "PATTERN"),
  "exclude-extension": which("not these extensions", "PATTERN"),
  filter: which("read such patterns from a file", "FILE"),
  "strict-names": which("fail when a pattern of tables or schemas matches nothing"),
  "large-objects": which("large objects even when tables or schemas are chosen"),
  blobs: which("the same, its older name"),
  "no-large-objects": which("no large objects"),
  "no-blobs": which("the same, its older name"),

  "schema-only": what("definitions only, no rows"),
  "data-only": what("rows only, no definitions"),
  section: what("pre-data, data or post-data only; may be repeated", "SECTION"),
  "no-schema": what("no definitions"),
  "no-data": what("no rows"),
  statistics: what("statistics of the planner too"),
  "statistics-only": what("statistics of the planner only"),
  "no-statistics": what("no statistics of the planner"),
  "sequence-data": what("positions of sequences even without rows"),
  "no-unlogged-table-data": what("no rows of unlogged tables"),
  "no-owner": what("no owners"),
  "no-privileges": what("no GRANTs and REVOKEs"),
  "no-acl": what("the same, another name"),
  "no-comments": what("no comments"),
  "no-policies": what("no row security policies"),
  "no-publications": what("no publications"),
  "no-subscriptions": what("no subscriptions"),
  "no-security-labels": what("no security labels"),
  "no-table-access-method": what("no table access methods"),
  "no-tablespaces": what("no tablespaces"),
  "no-toast-compression": what("no TOAST compression methods"),

  "lock-wait-timeout": how("give up when a table stays locked by someone for so long", "TIMEOUT"),
  "serializable-deferrable": how("wait for a moment without anomalies of serializable transactions"),
  role: how("SET ROLE first", "ROLE"),
  "enable-row-security": how("only the rows that the role may see; never a full backup"),
  snapshot: how("read this exported snapshot", "SNAPSHOT"),
  encoding: how("write text in this encoding", "ENCODING"),
  "extra-float-digits": how("setting of extra_float_digits", "NUMBER"),
  "load-via-partition-root": how("rows of partitions are restored through the root table"),
  "quote-all-identifiers": how("quote every identifier"),
  "disable-dollar-quoting": how("quote function bodies by standard SQL"),
  "disable-triggers": how("restores of rows alone switch triggers off"),
  superuser: how("who switches them off", "ROLE"),
  "use-set-session-authorization": how("SET SESSION AUTHORIZATION instead of ALTER OWNER"),
  create: how("the archive says to create the database"),
  clean: how("the archive says to drop objects first"),
  "if-exists": how("with IF EXISTS"),
};

const FALLBACK: FlagText = { group: HOW, description: "see pg_dump's manual page" };

/** pg_dump's flags for a command with options of its own; those of one name, and of no other, are left to the command. */
export function selectionFlagSpecs(own: readonly FlagSpec[]): FlagSpec[] {
  const isFree = (long: string): boolean => !own.some((flag) => flag.long === long);
  const passed = passedFlags().filter(({ long }) => isFree(long));
  const refused = refusedFlags().filter(({ long }) => isFree(long));
  return [
    ...passed.map(({ long, short, takesValue, since }) => {
      const text = TEXTS[long] ?? FALLBACK;
      const description = since === undefined ? text.description : `${text.description} (from pg_dump ${since} on)`;
      const value = takesValue === true ? (text.value ?? "VALUE") : undefined;
      return { long, short, value, description, group: text.group };
    }),
    ...refused.map(({ long, short, takesValue }) => ({
      long,
      short: own.some((flag) => flag.short === short) ? undefined : short,
      value: takesValue === true ? "VALUE" : undefined,
      isValueOptional: true,
      description: "",
      refuse: () => refuse(long),
    })),
  ].sort((one, other) => order(one) - order(other));
}

/** The pg_dump flags of a command line as words, in the order in which they were given. */
export function selectionOf(line: CommandLine, own: readonly FlagSpec[]): string[] {
  const given = line.flags.filter(({ name }) => !own.some((flag) => flag.long === name));
  return toArguments(parseSelectionFlags(toArguments(given)));
}

/** Throws the reason that dump/ gives. */
function refuse(long: string): never {
  parseSelectionFlags([`--${long}`]);
  throw new Error(`the option --${long} was to be refused`);
}

const GROUPS = [WHICH, WHAT, HOW];
const NAMES = Object.keys(TEXTS);

function order({ long, group }: { readonly long: string; readonly group?: string }): number {
  return GROUPS.indexOf(group ?? HOW) * 1000 + NAMES.indexOf(long);
}
