// Which entries of an archive are restored, and which of their components, with pg_restore's exact meaning of each
// flag. Pure. Binary upgrade and --sequence-data are not offered.
// Source: pg_backup_archiver.c (18), _tocEntryRequired, ProcessArchiveRestoreOptions, StrictNamesCheck.

import type { Section, Toc, TocEntry } from "../archive/index.ts";
import { OperatingError } from "../base/errors.ts";
import { concernsLargeObject, hasPartitionRootMark, isAcl, isDatabase, isSessionSetting } from "./entry-kinds.ts";
import { parseFilter } from "./filter-file.ts";
import { checkRestoreOptions, wantedComponents, type RestoreOptions, type WantedComponents } from "./options.ts";
import { orderByList } from "./use-list.ts";

/** What is restored of an entry. All false: nothing. */
export interface Wanted {
  readonly schema: boolean;
  readonly data: boolean;
  readonly statistics: boolean;
}

/** Which entries are restored, in which order. */
export interface Selection {
  /** All entries of the archive, in the order of the restore; those that a list leaves out come first. */
  readonly ordered: readonly TocEntry[];
  /** By dump id; an entry that is not in it is not restored. */
  readonly wanted: ReadonlyMap<number, Wanted>;
  /** True when definitions are restored at all: asked for, and at least one is selected. */
  readonly restoresSchema: boolean;
  readonly warnings: readonly string[];
}

const NOTHING: Wanted = { schema: false, data: false, statistics: false };

const RELATION_KINDS = new Set([
  "TABLE",
  "TABLE DATA",
  "VIEW",
  "FOREIGN TABLE",
  "MATERIALIZED VIEW",
  "MATERIALIZED VIEW DATA",
  "SEQUENCE",
  "SEQUENCE SET",
]);

const ROUTINE_KINDS = new Set(["FUNCTION", "AGGREGATE", "PROCEDURE"]);

const DEPENDENT_KINDS = new Set(["ACL", "COMMENT", "SECURITY LABEL"]);

/** A list of names asked for, which remembers the names that something had. */
class NameList {
  readonly isGiven: boolean;
  readonly #names: ReadonlySet<string>;
  readonly #found = new Set<string>();

  constructor(names: readonly string[]) {
    this.isGiven = names.length > 0;
    this.#names = new Set(names);
  }

  has(name: string): boolean {
    if (!this.#names.has(name)) return false;
    this.#found.add(name);
    return true;
  }

  firstMissing(): string | undefined {
    return [...this.#names].find((name) => !this.#found.has(name));
  }
}

interface Names {
  readonly schemas: NameList;
  readonly excludeSchemas: NameList;
  readonly tables: NameList;
  readonly indexes: NameList;
  readonly functions: NameList;
  readonly triggers: NameList;
}

/** Everything that the choice of one entry looks at. */
interface Choice {
  readonly options: RestoreOptions;
  readonly components: WantedComponents;
  readonly names: Names;
  /** True when -t, -I, -P or -T was given. */
  readonly selectsByKind: boolean;
  readonly sections: ReadonlySet<Section> | null;
  readonly listed: ReadonlySet<number> | null;
  readonly byId: ReadonlyMap<number, TocEntry>;
  /** Entries chosen so far; session settings too. */
  readonly chosen: Set<number>;
}

/**
 * Chooses the entries to restore. Throws OperatingError "usage" for options that contradict one another, a list that
 * names an entry that is not there, or, with strictNames, a name that nothing has.
 */
export function selectEntries(toc: Toc, options: RestoreOptions): Selection {
  checkRestoreOptions(options);
  const byId = new Map(toc.entries.map((entry) => [entry.dumpId, entry]));
  const list = options.useList === undefined ? null : orderByList(toc.entries, options.useList);
  const ordered = list?.ordered ?? toc.entries;
  const names = collectNames(options);
  const choice: Choice = {
    options,
    components: wantedComponents(options),
    names,
    selectsByKind: [names.tables, names.indexes, names.functions, names.triggers].some((kind) => kind.isGiven),
    sections: options.sections === undefined || options.sections.length === 0 ? null : new Set(options.sections),
    listed: list?.listed ?? null,
    byId,
    chosen: new Set(),
  };
  const wanted = new Map<number, Wanted>();
  let section: Section = "pre-data";
  for (const entry of ordered) {
    if (entry.section !== "none") section = entry.section;
    if (isSessionSetting(entry)) {
      choice.chosen.add(entry.dumpId);
      continue;
    }
    const parts = chooseEntry(entry, section, choice);
    if (!parts.schema && !parts.data && !parts.statistics) continue;
    choice.chosen.add(entry.dumpId);
    wanted.set(entry.dumpId, parts);
  }
  if (options.strictNames) checkNames(names);
  const restoresSchema = choice.components.schema && [...wanted.values()].some((parts) => parts.schema);
  return { ordered, wanted, restoresSchema, warnings: list?.warnings ?? [] };
}

function collectNames(options: RestoreOptions): Names {
  const filter = options.filter === undefined ? null : parseFilter(options.filter);
  const list = (given: readonly string[] | undefined, filtered: readonly string[] | undefined): NameList =>
    new NameList([...(given ?? []), ...(filtered ?? [])]);
  return {
    schemas: list(options.schemas, filter?.schemas),
    excludeSchemas: list(options.excludeSchemas, filter?.excludeSchemas),
    tables: list(options.tables, filter?.tables),
    indexes: list(options.indexes, filter?.indexes),
    functions: list(options.functions, filter?.functions),
    triggers: list(options.triggers, filter?.triggers),
  };
}

function checkNames(names: Names): void {
  const kinds = [
    ["schema", names.schemas],
    ["table", names.tables],
    ["index", names.indexes],
    ["function", names.functions],
    ["trigger", names.triggers],
  ] as const;
  for (const [kind, list] of kinds) {
    const missing = list.firstMissing();
    if (missing !== undefined) throw new OperatingError("usage", `${kind} "${missing}" not found`);
  }
}

function chooseEntry(entry: TocEntry, section: Section, choice: Choice): Wanted {
  const { options, components } = choice;
  const kind = entry.description;
  const isStatistics = kind === "STATISTICS DATA";
  if (isStatistics && !components.statistics) return NOTHING;
  if (isDatabase(entry)) return options.create ? { ...NOTHING, schema: true } : NOTHING;
  if (isExcludedKind(entry, options)) return NOTHING;
  if (choice.sections !== null && !choice.sections.has(section)) return NOTHING;
  if (choice.listed !== null && !choice.listed.has(entry.dumpId)) return NOTHING;
  if (DEPENDENT_KINDS.has(kind) ? !isDependentChosen(entry, choice) : !isNameChosen(entry, choice)) return NOTHING;
  if (kind === "<Init>" && entry.tag === "Max OID") return NOTHING;
  if (isStatistics) return { ...NOTHING, statistics: true };
  return componentsOf(entry, components);
}

function isExcludedKind(entry: TocEntry, options: RestoreOptions): boolean {
  const kind = entry.description;
  const isAbout = (what: string): boolean => entry.tag.startsWith(what);
  if (options.noAcl && isAcl(entry)) return true;
  if (options.noComments && kind === "COMMENT") return true;
  if (options.noSecurityLabels && kind === "SECURITY LABEL") return true;
  if (options.noPolicies) {
    if (kind === "POLICY" || kind === "ROW SECURITY") return true;
    if (kind === "COMMENT" && isAbout("POLICY")) return true;
  }
  const isNote = kind === "COMMENT" || kind === "SECURITY LABEL";
  if (options.noPublications) {
    if (kind === "PUBLICATION" || kind === "PUBLICATION TABLE" || kind === "PUBLICATION TABLES IN SCHEMA") return true;
    if (isNote && isAbout("PUBLICATION")) return true;
  }
  if (options.noSubscriptions) {
    if (kind === "SUBSCRIPTION") return true;
    if (isNote && isAbout("SUBSCRIPTION")) return true;
  }
  return false;
}

/** Privileges, comments and labels follow their parent in a selective restore. */
function isDependentChosen(entry: TocEntry, choice: Choice): boolean {
  if (entry.tag.startsWith("DATABASE ")) return choice.options.create === true;
  const { names } = choice;
  if (!names.schemas.isGiven && !names.excludeSchemas.isGiven && !choice.selectsByKind) return true;
  return hasChosenParent(entry, choice);
}

function hasChosenParent(entry: TocEntry, choice: Choice): boolean {
  return entry.dependencies.some((id) => {
    const parent = choice.byId.get(id);
    return parent !== undefined && parent.description !== "ACL" && choice.chosen.has(id);
  });
}

function isNameChosen(entry: TocEntry, choice: Choice): boolean {
  const { names } = choice;
  const { namespace } = entry;
  if (names.schemas.isGiven && (namespace === null || !names.schemas.has(namespace))) return false;
  if (names.excludeSchemas.isGiven && namespace !== null && names.excludeSchemas.has(namespace)) return false;
  if (!choice.selectsByKind) return true;
  const kind = entry.description;
  // As of 18.6; statistics of an extension's index have no parent in the archive.
  if (kind === "STATISTICS DATA") return hasChosenParent(entry, choice);
  if (RELATION_KINDS.has(kind)) return names.tables.has(entry.tag);
  if (kind === "INDEX") return names.indexes.has(entry.tag);
  if (ROUTINE_KINDS.has(kind)) return names.functions.has(entry.tag);
  if (kind === "TRIGGER") return names.triggers.has(entry.tag);
  return false;
}

function componentsOf(entry: TocEntry, components: WantedComponents): Wanted {
  const kind = entry.description;
  let schema = true;
  let data = true;
  if (!entry.hadDumper) {
    const isData = kind === "SEQUENCE SET" || kind === "BLOB" || kind === "BLOB METADATA" || concernsLargeObject(entry);
    schema = !isData;
    data = isData;
  }
  if (entry.definition === "" || hasPartitionRootMark(entry)) schema = false;
  return { schema: schema && components.schema, data: data && components.data, statistics: false };
}
