// The plan of a scratch database: a new database on the target's server that holds some tables or schemas of an
// archive and what they need, made under the name NAME_incomplete and renamed when whole. Pure.

import type { Toc, TocEntry } from "../archive/index.ts";
import { OperatingError } from "../base/errors.ts";
import { parseQualifiedName, quoteIdentifier } from "../postgres/index.ts";
import type { RestoreOptions } from "./options.ts";
import { planSelection, type PlanTarget, type RestorePlan } from "./plan.ts";
import { recordSchemaOf } from "./restore-record.ts";
import { RELATION_KINDS, scratchClosure, type LeftOut } from "./scratch-closure.ts";
import type { Wanted } from "./selection.ts";
import { readSessionDefaults } from "./session-settings.ts";
import { splitTopLevel } from "./sql-text.ts";

/** What a scratch database is to hold. */
export interface ScratchRequest {
  /** Names of tables, views, sequences: NAME as the archive has it, or SCHEMA.NAME with quotes where needed. */
  readonly tables?: readonly string[];
  /** All of these schemas; with `tables`, only tables in them. */
  readonly schemas?: readonly string[];
  readonly databaseName: string;
  readonly includesOwners?: boolean;
  readonly includesAcl?: boolean;
  readonly noComments?: boolean;
  readonly jobs?: number;
}

/** How a scratch database is made. */
export interface ScratchPlan {
  readonly databaseName: string;
  /** Its name until it is whole. */
  readonly incompleteName: string;
  /** Tried in this order until one succeeds: the source's locale, its encoding alone, its encoding with locale C. */
  readonly createStatements: readonly string[];
  readonly renameStatement: string;
  /** The schema of the record of what is done, while the database is not whole. */
  readonly recordSchema: string;
  readonly dropStatement: string;
  readonly plan: RestorePlan;
  /** The relations that were asked for. */
  readonly relations: readonly TocEntry[];
  /** What belongs to the relations and is not restored. */
  readonly leftOut: readonly LeftOut[];
}

/** Bytes of a name that PostgreSQL keeps. */
const NAME_LENGTH_BYTES_MAX = 63;

const INCOMPLETE_SUFFIX = "_incomplete";

/** Plans a scratch database. Throws OperatingError "usage" when a name is not in the archive or is too long. */
export function planScratch(toc: Toc, request: ScratchRequest, target: PlanTarget): ScratchPlan {
  const { databaseName } = request;
  const incompleteName = `${databaseName}${INCOMPLETE_SUFFIX}`;
  if (databaseName === "" || Buffer.byteLength(incompleteName) > NAME_LENGTH_BYTES_MAX) {
    const lengthMax = NAME_LENGTH_BYTES_MAX - INCOMPLETE_SUFFIX.length;
    throw new OperatingError("usage", `the name of a scratch database must have 1 to ${lengthMax} bytes`);
  }
  const relations = findRoots(toc, request);
  const { included, leftOut } = scratchClosure(toc.entries, relations, {
    includesAcl: request.includesAcl === true,
    includesComments: request.noComments !== true,
  });
  const options: RestoreOptions = {
    noOwner: request.includesOwners !== true,
    noAcl: request.includesAcl !== true,
    noTablespaces: true,
    jobs: request.jobs ?? 1,
  };
  const selection = {
    ordered: toc.entries,
    wanted: wantedOf(toc.entries, included),
    restoresSchema: true,
    warnings: [],
  };
  const plan = planSelection(toc, selection, options, target);
  return {
    databaseName,
    incompleteName,
    createStatements: createStatements(toc, incompleteName, target.version),
    renameStatement: `ALTER DATABASE ${quoteIdentifier(incompleteName)} RENAME TO ${quoteIdentifier(databaseName)};`,
    recordSchema: recordSchemaOf(toc),
    dropStatement: `DROP DATABASE IF EXISTS ${quoteIdentifier(incompleteName)} WITH (FORCE);`,
    plan: { ...plan, preparation: missingSchemas(toc, included) },
    relations: relations.filter((entry) => RELATION_KINDS.has(entry.description)),
    leftOut,
  };
}

/** Kinds that a whole schema brings besides its relations. */
const SCHEMA_MEMBER_KINDS = new Set([
  ...RELATION_KINDS,
  "TYPE",
  "DOMAIN",
  "FUNCTION",
  "PROCEDURE",
  "AGGREGATE",
  "COLLATION",
  "OPERATOR",
  "OPERATOR CLASS",
  "OPERATOR FAMILY",
  "CONVERSION",
  "TEXT SEARCH CONFIGURATION",
  "TEXT SEARCH DICTIONARY",
  "TEXT SEARCH PARSER",
  "TEXT SEARCH TEMPLATE",
]);

function findRoots(toc: Toc, request: ScratchRequest): readonly TocEntry[] {
  const schemas = request.schemas ?? [];
  const isInSchemas = (entry: TocEntry): boolean =>
    schemas.length === 0 || (entry.namespace !== null && schemas.includes(entry.namespace));
  if (request.tables === undefined || request.tables.length === 0) {
    const missing = schemas.find((schema) => !toc.entries.some((entry) => entry.namespace === schema));
    if (missing !== undefined || schemas.length === 0) {
      throw new OperatingError("usage", `schema "${missing ?? ""}" not found in the archive`);
    }
    return toc.entries.filter((entry) => SCHEMA_MEMBER_KINDS.has(entry.description) && isInSchemas(entry));
  }
  const candidates = toc.entries.filter((entry) => RELATION_KINDS.has(entry.description) && isInSchemas(entry));
  return request.tables.flatMap((name) => {
    const found = candidates.filter((entry) => isNamed(entry, name));
    if (found.length > 0) return found;
    throw new OperatingError("usage", `table "${name}" not found in the archive`, {
      hint: "Names are exact. Write SCHEMA.NAME, or NAME, with double quotes around a part that holds anything odd.",
    });
  });
}

function isNamed(entry: TocEntry, name: string): boolean {
  if (entry.tag === name) return true;
  try {
    const parts = parseQualifiedName(name);
    return parts.at(-1) === entry.tag && (parts.length === 1 || (parts.length === 2 && parts[0] === entry.namespace));
  } catch {
    return false;
  }
}

function wantedOf(entries: readonly TocEntry[], included: ReadonlySet<number>): ReadonlyMap<number, Wanted> {
  const wanted = new Map<number, Wanted>();
  for (const entry of entries) {
    if (!included.has(entry.dumpId)) continue;
    const isStatistics = entry.description === "STATISTICS DATA";
    const isData = entry.hadDumper || entry.description === "SEQUENCE SET";
    wanted.set(entry.dumpId, { schema: !isData && !isStatistics, data: isData, statistics: isStatistics });
  }
  return wanted;
}

const SCHEMAS_OF_EVERY_DATABASE = new Set(["public", "pg_catalog", "information_schema", "pg_toast"]);

/** Schemas of included entries that the archive does not create. */
function missingSchemas(toc: Toc, included: ReadonlySet<number>): readonly string[] {
  const created = new Set(SCHEMAS_OF_EVERY_DATABASE);
  const needed = new Set<string>();
  for (const entry of toc.entries) {
    if (!included.has(entry.dumpId)) continue;
    if (entry.description === "SCHEMA") created.add(entry.tag);
    else if (entry.namespace !== null && entry.namespace !== "") needed.add(entry.namespace);
  }
  return [...needed]
    .filter((name) => !created.has(name))
    .map((name) => `CREATE SCHEMA IF NOT EXISTS ${quoteIdentifier(name)};`);
}

const LOCALE_PROVIDER_SINCE = 150000;

function createStatements(toc: Toc, name: string, targetVersion: number): readonly string[] {
  const definition = toc.entries.find((entry) => entry.description === "DATABASE")?.definition ?? "";
  const options = splitTopLevel(definition, ";")[0]?.split(/ TEMPLATE = template0\b/)[1] ?? "";
  const cleaned = options
    .replace(/ TABLESPACE = (?:"(?:[^"]|"")*"|\S+)/, "")
    .replace(targetVersion < LOCALE_PROVIDER_SINCE ? / LOCALE_PROVIDER = libc/ : /$^/, "");
  const encoding = / ENCODING = '([A-Za-z0-9_-]+)'/.exec(options)?.[1] ?? readSessionDefaults(toc).clientEncoding;
  const base = `CREATE DATABASE ${quoteIdentifier(name)} WITH TEMPLATE = template0`;
  const byEncoding = `${base} ENCODING = '${encoding}';`;
  const byLocaleC = `${base} ENCODING = '${encoding}' LOCALE = 'C';`;
  return options.trim() === "" ? [byEncoding, byLocaleC] : [`${base}${cleaned};`, byEncoding, byLocaleC];
}
