// What a scratch database needs of an archive to hold the relations asked for: the relations, their rows, everything
// they are made of (types, functions of defaults, sequences, parents, extensions, schemas), and what belongs to them
// (defaults, keys, checks, indexes, comments). Pure. Works on the dependencies that pg_dump wrote.

import type { TocEntry } from "../archive/index.ts";
import { loadsThroughPartitionRoot } from "./entry-kinds.ts";
import { readQualifiedName } from "./sql-text.ts";

/** An entry that has to do with the relations restored but is not, and why. */
export interface LeftOut {
  readonly entry: TocEntry;
  readonly reason: string;
}

/** Which entries a scratch database takes. */
export interface ScratchClosure {
  readonly included: ReadonlySet<number>;
  readonly leftOut: readonly LeftOut[];
}

/** Relations that have rows or show them. */
export const RELATION_KINDS: ReadonlySet<string> = new Set([
  "TABLE",
  "FOREIGN TABLE",
  "VIEW",
  "MATERIALIZED VIEW",
  "SEQUENCE",
]);

const TABLE_KINDS = new Set(["TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW"]);

const ROUTINE_KINDS = new Set(["FUNCTION", "PROCEDURE", "AGGREGATE"]);

/** Extensions whose operator classes let plain types into exclusion constraints. */
const OPERATOR_CLASS_EXTENSIONS = new Set(["btree_gist", "btree_gin"]);

/** Kinds that follow a table that they depend on. */
const FOLLOWING_KINDS = new Set(["DEFAULT", "CONSTRAINT", "CHECK CONSTRAINT", "INDEX", "STATISTICS"]);

const LEFT_OUT_REASONS = new Map([
  ["FK CONSTRAINT", "The table it refers to may not be in the scratch database."],
  ["TRIGGER", "Triggers could act on other objects."],
  ["EVENT TRIGGER", "Triggers could act on other objects."],
  ["RULE", "Rules could act on other objects."],
  ["POLICY", "Roles of the source need not exist here."],
  ["ROW SECURITY", "Its policies are left out."],
  ["PUBLICATION TABLE", "A scratch database publishes nothing."],
  ["ACL", "Privileges are left out unless asked for."],
  ["SECURITY LABEL", "Security labels are left out."],
  ["TABLE DATA", "Only the definition of this table is needed."],
  ["TABLE ATTACH", "Only partitions that were asked for are restored."],
  ["SEQUENCE OWNED BY", "The table that owns the sequence is not restored."],
]);

/** Options of the closure. */
export interface ClosureOptions {
  readonly includesAcl: boolean;
  readonly includesComments: boolean;
}

/** Computes the closure of some entries (relations, or anything else that is asked for). */
export function scratchClosure(
  entries: readonly TocEntry[],
  roots: readonly TocEntry[],
  options: ClosureOptions,
): ScratchClosure {
  const closure = new Closure(entries, options);
  for (const root of roots) closure.addRoot(root);
  closure.settle();
  return { included: closure.included, leftOut: closure.leftOut() };
}

class Closure {
  readonly included = new Set<number>();
  readonly #entries: readonly TocEntry[];
  readonly #byId: ReadonlyMap<number, TocEntry>;
  readonly #options: ClosureOptions;
  /** Relations whose rows are wanted. */
  readonly #withRows = new Set<number>();
  /** Partition → its ATTACH entry; parent → ATTACH entries of its partitions. */
  readonly #attachOf = new Map<number, TocEntry>();
  readonly #attachesTo = new Map<number, TocEntry[]>();
  /** View → the entry with its true query, where pg_dump made it of nothing first to break a circle. */
  readonly #queryOf = new Map<number, TocEntry>();
  /** Table → its TABLE DATA entry. */
  readonly #dataOf = new Map<number, TocEntry>();
  /** Routines by JSON of schema and name. */
  readonly #routines = new Map<string, TocEntry[]>();
  /** "schema.table" of included tables. */
  readonly #tableNames = new Set<string>();

  constructor(entries: readonly TocEntry[], options: ClosureOptions) {
    this.#entries = entries;
    this.#options = options;
    this.#byId = new Map(entries.map((entry) => [entry.dumpId, entry]));
    for (const entry of entries) {
      if (entry.description === "RULE" && entry.tag.endsWith(" _RETURN")) {
        const view = entry.dependencies.find((id) => `${this.#byId.get(id)?.tag} _RETURN` === entry.tag);
        if (view !== undefined) this.#queryOf.set(view, entry);
      }
      const table = entry.dependencies[0];
      if (entry.description === "TABLE DATA" && table !== undefined) this.#dataOf.set(table, entry);
      if (ROUTINE_KINDS.has(entry.description)) {
        const key = JSON.stringify([entry.namespace, entry.tag.slice(0, Math.max(entry.tag.indexOf("("), 0))]);
        this.#routines.set(key, [...(this.#routines.get(key) ?? []), entry]);
      }
      const [child, parent] = this.#attachEnds(entry);
      if (child === undefined || parent === undefined) continue;
      this.#attachOf.set(child, entry);
      this.#attachesTo.set(parent, [...(this.#attachesTo.get(parent) ?? []), entry]);
    }
  }

  addRoot(entry: TocEntry): void {
    const kind = entry.description;
    this.#include(entry.dumpId);
    if (!TABLE_KINDS.has(kind)) return;
    this.#addRows(entry.dumpId);
    // A view is of use only with the rows that it shows.
    if (kind === "VIEW" || kind === "MATERIALIZED VIEW") this.#addRowsBelow(entry, new Set());
  }

  /** Adds what follows from what is there, until nothing does. */
  settle(): void {
    let sizeBefore = -1;
    while (this.included.size !== sizeBefore) {
      sizeBefore = this.included.size;
      for (const entry of this.#entries) {
        if (!this.included.has(entry.dumpId) && this.#follows(entry)) this.#include(entry.dumpId);
      }
    }
  }

  leftOut(): readonly LeftOut[] {
    const leftOut: LeftOut[] = [];
    for (const entry of this.#entries) {
      if (this.included.has(entry.dumpId)) continue;
      const reason = LEFT_OUT_REASONS.get(entry.description);
      const concerns = entry.dependencies.some((id) => this.included.has(id) && this.#isKind(id, RELATION_KINDS));
      if (reason !== undefined && concerns) leftOut.push({ entry, reason });
    }
    return leftOut;
  }

  #include(dumpId: number): void {
    const waiting = [dumpId];
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
      const entry = this.#byId.get(id);
      if (entry === undefined || this.included.has(id)) continue;
      this.included.add(id);
      waiting.push(...entry.dependencies, ...this.#hiddenNeeds(entry));
      if (!TABLE_KINDS.has(entry.description)) continue;
      this.#tableNames.add(JSON.stringify([entry.namespace, entry.tag]));
      for (const follower of [this.#attachOf.get(id), this.#queryOf.get(id)]) {
        if (follower !== undefined) waiting.push(follower.dumpId);
      }
    }
  }

  /** The rows of a table, and of all its partitions. */
  #addRows(dumpId: number): void {
    const waiting = [dumpId];
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
      if (this.#withRows.has(id)) continue;
      this.#withRows.add(id);
      this.#include(id);
      const data = this.#dataOf.get(id);
      if (data !== undefined && loadsThroughPartitionRoot(data)) this.#includeTree(id);
      for (const attach of this.#attachesTo.get(id) ?? []) {
        const [child] = this.#attachEnds(attach);
        if (child !== undefined) waiting.push(child);
      }
    }
  }

  /** All definitions of a partition tree: rows that go through its root may come to lie in any of its partitions. */
  #includeTree(partition: number): void {
    let root = partition;
    for (let attach = this.#attachOf.get(root); attach !== undefined; attach = this.#attachOf.get(root)) {
      const parent = this.#attachEnds(attach)[1];
      if (parent === undefined || parent === root) break;
      root = parent;
    }
    const waiting = [root];
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
      this.#include(id);
      for (const attach of this.#attachesTo.get(id) ?? []) waiting.push(this.#attachEnds(attach)[0] ?? id);
    }
  }

  /** What an entry needs without a dependency that says so. */
  #hiddenNeeds(entry: TocEntry): readonly number[] {
    if (ROUTINE_KINDS.has(entry.description)) return this.#routinesCalledBy(entry);
    // The index behind such a constraint uses an operator class that the constraint does not depend on.
    const needsClass = entry.description === "CONSTRAINT" && /EXCLUDE USING|WITHOUT OVERLAPS/.test(entry.definition);
    if (!needsClass) return [];
    return this.#entries
      .filter((other) => other.description === "EXTENSION" && OPERATOR_CLASS_EXTENSIONS.has(other.tag))
      .map((other) => other.dumpId);
  }

  /** Bodies of functions are text to pg_dump; calls in them are found by qualified name. */
  #routinesCalledBy(entry: TocEntry): readonly number[] {
    const ids: number[] = [];
    for (const match of entry.definition.matchAll(
      /(?:"(?:[^"]|"")*"|[A-Za-z_][\w$]*)\.(?:"(?:[^"]|"")*"|[A-Za-z_][\w$]*)\s*\(/g,
    )) {
      const parts = readQualifiedName(entry.definition, match.index)?.parts;
      for (const routine of this.#routines.get(JSON.stringify(parts)) ?? []) ids.push(routine.dumpId);
    }
    return ids;
  }

  #addRowsBelow(view: TocEntry, seen: Set<number>): void {
    const query = this.#queryOf.get(view.dumpId);
    for (const id of [...view.dependencies, ...(query?.dependencies ?? [])]) {
      const entry = this.#byId.get(id);
      if (entry === undefined || seen.has(id)) continue;
      seen.add(id);
      if (TABLE_KINDS.has(entry.description)) this.#addRows(id);
      this.#addRowsBelow(entry, seen);
    }
  }

  #follows(entry: TocEntry): boolean {
    const kind = entry.description;
    const dependencies = entry.dependencies.filter((id) => this.#byId.has(id));
    const hasAll = dependencies.length > 0 && dependencies.every((id) => this.included.has(id));
    if (FOLLOWING_KINDS.has(kind)) return dependencies.some((id) => this.#isTableIn(id));
    switch (kind) {
      case "TABLE DATA":
      case "MATERIALIZED VIEW DATA":
        return dependencies.some((id) => this.#withRows.has(id));
      case "SEQUENCE":
        // An identity column: the entry alters the table.
        return entry.definition.startsWith("ALTER TABLE") && dependencies.some((id) => this.#isTableIn(id));
      case "SEQUENCE SET":
      case "INDEX ATTACH":
      case "STATISTICS DATA":
        return hasAll;
      case "SEQUENCE OWNED BY":
        return hasAll && this.#isOwnerIn(entry);
      case "COMMENT":
        return this.#options.includesComments && hasAll;
      case "ACL":
        return this.#options.includesAcl && hasAll;
      default:
        return false;
    }
  }

  #isKind(dumpId: number, kinds: ReadonlySet<string>): boolean {
    return kinds.has(this.#byId.get(dumpId)?.description ?? "");
  }

  #isTableIn(dumpId: number): boolean {
    return this.included.has(dumpId) && this.#isKind(dumpId, TABLE_KINDS);
  }

  #isOwnerIn(entry: TocEntry): boolean {
    const mark = " OWNED BY ";
    const place = entry.definition.lastIndexOf(mark);
    const parts = place < 0 ? undefined : readQualifiedName(entry.definition, place + mark.length)?.parts;
    return parts?.length === 3 && this.#tableNames.has(JSON.stringify(parts.slice(0, 2)));
  }

  /** Dump ids of partition and parent of a TABLE ATTACH entry. */
  #attachEnds(entry: TocEntry): [number?, number?] {
    if (entry.description !== "TABLE ATTACH") return [];
    const isChild = (id: number): boolean => {
      const table = this.#byId.get(id);
      return table !== undefined && table.tag === entry.tag && table.namespace === entry.namespace;
    };
    const tables = entry.dependencies.filter((id) => this.#isKind(id, TABLE_KINDS));
    return [tables.find(isChild), tables.find((id) => !isChild(id))];
  }
}
