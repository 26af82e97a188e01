// The plan of a restore: which statements are sent and which data is loaded, in which order, what waits for what and
// what must not run beside what. Pure: the same archive, options and target version always give the same plan.
// Source: pg_backup_archiver.c (18), RestoreArchive, restore_toc_entry, restore_toc_entries_prefork.

import type { TextEncoding, Toc, TocEntry } from "../archive/index.ts";
import { adaptationContext, adaptStatements, type Adaptation, type AdaptationContext } from "./adaptations.ts";
import { planDrops, type DropStep } from "./drops.ts";
import {
  hasPartitionRootMark,
  loadsThroughPartitionRoot,
  restorePass,
  RESTORE_PASSES,
  type RestorePass,
} from "./entry-kinds.ts";
import { buildGraph, type EntryGraph } from "./graph.ts";
import type { RestoreOptions } from "./options.ts";
import { selectEntries, type Selection, type Wanted } from "./selection.ts";
import { readSessionDefaults, sessionStatements } from "./session-settings.ts";
import { qualifiedName } from "./sql-text.ts";
import {
  entrySettings,
  entryStatements,
  reconnectsTo,
  type EntrySettings,
  type RestoreStatement,
} from "./statements.ts";

/**
 * Rows that one connection loads are frozen: no index build marks their pages again, which would write the table and as
 * much WAL a second time (decision 0006). Several connections cannot freeze, and pay off only for a table of more than
 * this many even shares.
 */
const DOMINANT_SHARES = 1.5;

/** How the data of a task is loaded. */
export type DataLoad =
  | {
      readonly kind: "copy";
      readonly copyStatement: string;
      /** Quoted, with schema. */
      readonly table: string;
      /** The rows go to another table, an ancestor in the partition tree. */
      readonly throughRoot: boolean;
      /** The table is this plan's own and nothing depends on its rows yet, once the task that creates it is done. */
      readonly isOwn: boolean;
      /** So large beside the rest that several connections load it faster than one that freezes its rows. */
      readonly isDominant: boolean;
    }
  /** INSERT statements in place of COPY text. */
  | { readonly kind: "statements"; readonly table: string }
  | { readonly kind: "large-objects" };

/** What is done for one entry. */
export interface RestoreTask {
  readonly entry: TocEntry;
  readonly pass: RestorePass;
  /** False: nothing is done; the task only stands in the graph. */
  readonly isWanted: boolean;
  readonly settings: EntrySettings;
  readonly statements: readonly RestoreStatement[];
  /** Why the entry cannot be restored whole; then it counts as failed. */
  readonly problem: string | null;
  readonly load: DataLoad | null;
  /** Triggers are disabled around the load. */
  readonly disablesTriggers: boolean;
  /** Dump id of the TABLE DATA entry of the table that the task creates. */
  readonly dataDumpId: number | null;
  readonly reconnectTo: string | null;
  /** Dump ids of tasks of this plan to be finished before. */
  readonly dependencies: readonly number[];
  /** Dump ids that nothing else may use meanwhile. */
  readonly locks: readonly number[];
  /** Dump ids that the task uses, those of tasks that have run before too. */
  readonly uses: readonly number[];
  /** Estimated; 0 when unknown. */
  readonly sizeBytes: number;
  /** Estimated work, in bytes of COPY text that take as long; 0 when unknown. */
  readonly workBytes: number;
}

/** Everything that runRestore() needs to know besides the data and the connections. */
export interface RestorePlan {
  readonly options: RestoreOptions;
  readonly targetVersion: number;
  readonly textEncoding: TextEncoding;
  readonly standardStrings: boolean;
  /** Sent first on every connection. */
  readonly sessionStatements: readonly string[];
  /** Sent once, before all else. */
  readonly preparation: readonly string[];
  readonly drops: readonly DropStep[];
  /** Run one after another on one connection, first. */
  readonly serial: readonly RestoreTask[];
  /** Then these, over several connections, by dependencies and locks. Empty with one job. */
  readonly parallel: readonly RestoreTask[];
  readonly adaptations: readonly Adaptation[];
  /** Entries of the archive that the options leave out. */
  readonly leftOutCount: number;
  /** Sentences for the user: ignored lines of a list, warnings that pg_dump wrote into the archive. */
  readonly warnings: readonly string[];
}

/** What planRestore() is told besides the options. */
export interface PlanTarget {
  /** server_version_num, e.g. 150020. */
  readonly version: number;
  /** Bytes of data by dump id of the entry, where known: larger ones start first. */
  readonly sizes?: ReadonlyMap<number, number>;
}

/**
 * Plans a restore. Throws OperatingError "usage" (options that contradict, names not found) or "archive_invalid"
 * (entries depend on one another in a circle).
 */
export function planRestore(toc: Toc, options: RestoreOptions, target: PlanTarget): RestorePlan {
  const selection = selectEntries(toc, options);
  return planSelection(toc, selection, options, target);
}

/** Plans the restore of entries that somebody else chose. */
export function planSelection(
  toc: Toc,
  selection: Selection,
  options: RestoreOptions,
  target: PlanTarget,
): RestorePlan {
  const defaults = readSessionDefaults(toc);
  const byId = new Map(toc.entries.map((entry) => [entry.dumpId, entry]));
  const sizes = target.sizes ?? new Map<number, number>();
  const planner: Planner = {
    options,
    selection,
    graph: buildGraph(toc.entries, sizes),
    dominantBytes: dominantBytes(selection, sizes, options.jobs ?? 1),
    byId,
    constrainedTables: tablesConstrainedBeforeData(toc.entries),
    hasSearchPath: defaults.searchPath !== null,
    context: adaptationContext(toc, target.version, !options.noAcl),
    adaptations: [],
    warnings: [...selection.warnings],
  };
  const tasks = selection.ordered.map((entry) => planTask(entry, planner));
  const order = (options.jobs ?? 1) > 1 ? splitForJobs(tasks) : { serial: inPasses(tasks), parallel: [] };
  return {
    options,
    targetVersion: target.version,
    textEncoding: toc.textEncoding,
    standardStrings: defaults.standardStrings,
    sessionStatements: sessionStatements(defaults, options, target.version),
    preparation: [],
    drops: planDrops(selection, options, planner.hasSearchPath),
    ...order,
    adaptations: planner.adaptations,
    leftOutCount: tasks.filter((task) => !task.isWanted).length,
    warnings: planner.warnings,
  };
}

interface Planner {
  readonly options: RestoreOptions;
  readonly selection: Selection;
  readonly graph: EntryGraph;
  /** Data of more than that is loaded by several connections. */
  readonly dominantBytes: number;
  readonly byId: ReadonlyMap<number, TocEntry>;
  readonly constrainedTables: ReadonlySet<number>;
  readonly hasSearchPath: boolean;
  readonly context: AdaptationContext;
  readonly adaptations: Adaptation[];
  readonly warnings: string[];
}

function planTask(entry: TocEntry, planner: Planner): RestoreTask {
  const { options, graph } = planner;
  const wanted = planner.selection.wanted.get(entry.dumpId);
  const node = graph.nodes.get(entry.dumpId);
  const createsTable = entry.description === "TABLE" && wanted?.schema === true;
  const load = wanted?.data === true && entry.hadDumper ? dataLoad(entry, planner) : null;
  const { statements, problem } = plannedStatements(entry, wanted, planner);
  noteWarning(entry, wanted, planner);
  return {
    entry,
    pass: restorePass(entry),
    isWanted: wanted !== undefined,
    settings: entrySettings(entry, options, planner.hasSearchPath),
    statements,
    problem,
    load,
    disablesTriggers:
      options.disableTriggers === true &&
      !planner.selection.restoresSchema &&
      load !== null &&
      load.kind !== "large-objects",
    dataDumpId: createsTable ? (graph.dataOfTable.get(entry.dumpId) ?? null) : null,
    reconnectTo: wanted?.schema === true ? reconnectsTo(entry) : null,
    dependencies: node?.dependencies ?? [],
    locks: node?.locks ?? [],
    uses: node?.dependencies ?? [],
    sizeBytes: node?.sizeBytes ?? 0,
    workBytes: node?.workBytes ?? 0,
  };
}

function plannedStatements(
  entry: TocEntry,
  wanted: Wanted | undefined,
  planner: Planner,
): { readonly statements: readonly RestoreStatement[]; readonly problem: string | null } {
  const isData = wanted?.data === true && !entry.hadDumper;
  if (wanted === undefined || !(wanted.schema || isData || wanted.statistics) || hasPartitionRootMark(entry)) {
    return { statements: [], problem: null };
  }
  const { statements, problem } = entryStatements(entry, planner.options, (id) => planner.byId.get(id));
  const adapted = adaptStatements(entry, statements, planner.context);
  planner.adaptations.push(...adapted.adaptations);
  return { statements: adapted.statements, problem };
}

function noteWarning(entry: TocEntry, wanted: Wanted | undefined, planner: Planner): void {
  if (entry.description !== "WARNING" || wanted === undefined) return;
  const text = planner.selection.restoresSchema && entry.definition !== "" ? entry.definition : entry.copyStatement;
  if (text !== "") planner.warnings.push(`warning from original dump file: ${text}`);
}

function dataLoad(entry: TocEntry, planner: Planner): DataLoad {
  if (entry.description === "BLOBS" || entry.description === "BLOB COMMENTS") return { kind: "large-objects" };
  const table = qualifiedName(entry.namespace, entry.tag);
  if (entry.copyStatement === "") return { kind: "statements", table };
  const throughRoot = loadsThroughPartitionRoot(entry);
  const tableDumpId = entry.dependencies[0];
  const created = tableDumpId !== undefined && planner.selection.wanted.get(tableDumpId)?.schema === true;
  const isOwn =
    created &&
    !throughRoot &&
    planner.options.singleTransaction !== true &&
    !planner.constrainedTables.has(tableDumpId);
  const sizeBytes = planner.graph.nodes.get(entry.dumpId)?.sizeBytes ?? 0;
  const isDominant = sizeBytes > planner.dominantBytes;
  return { kind: "copy", copyStatement: entry.copyStatement, table, throughRoot, isOwn, isDominant };
}

/** From which size on a table is dominant: a multiple of one connection's even share of the data. */
function dominantBytes(selection: Selection, sizes: ReadonlyMap<number, number>, jobs: number): number {
  let total = 0;
  for (const [dumpId, wanted] of selection.wanted) if (wanted.data) total += sizes.get(dumpId) ?? 0;
  return (DOMINANT_SHARES * total) / jobs;
}

const ROW_RULE_KINDS = new Set([
  "CONSTRAINT",
  "FK CONSTRAINT",
  "CHECK CONSTRAINT",
  "INDEX",
  "TRIGGER",
  "RULE",
  "POLICY",
]);

/** Tables on which something that looks at other rows may exist before their data is loaded. */
function tablesConstrainedBeforeData(entries: readonly TocEntry[]): ReadonlySet<number> {
  const tables = new Set<number>();
  for (const entry of entries) {
    if (entry.section === "post-data" || !ROW_RULE_KINDS.has(entry.description)) continue;
    for (const id of entry.dependencies) tables.add(id);
  }
  return tables;
}

function inPasses(tasks: readonly RestoreTask[]): readonly RestoreTask[] {
  return RESTORE_PASSES.flatMap((pass) => tasks.filter((task) => task.isWanted && task.pass === pass));
}

/** Definitions before the data run in order on one connection, all else by the graph. */
function splitForJobs(tasks: readonly RestoreTask[]): {
  readonly serial: readonly RestoreTask[];
  readonly parallel: readonly RestoreTask[];
} {
  const serial: RestoreTask[] = [];
  const parallel: RestoreTask[] = [];
  let skippedSome = false;
  for (const task of tasks) {
    const { section } = task.entry;
    if (section === "data" || section === "post-data") skippedSome = true;
    const isEarly = section === "pre-data" || (section === "none" && !skippedSome);
    if (isEarly && task.pass === "main") {
      if (task.isWanted) serial.push(task);
    } else {
      parallel.push(task);
    }
  }
  const later = new Set(parallel.map((task) => task.entry.dumpId));
  const onlyLater = (task: RestoreTask): RestoreTask => ({
    ...task,
    dependencies: task.dependencies.filter((id) => later.has(id)),
  });
  return { serial, parallel: parallel.map(onlyLater) };
}
