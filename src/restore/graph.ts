// Dependencies and locks of entries as the parallel part of a restore needs them. Pure.
// Source: pg_backup_archiver.c (18), fix_dependencies, repoint_table_dependencies, identify_locking_dependencies.

import type { TocEntry } from "../archive/index.ts";
import { OperatingError } from "../base/errors.ts";

/** Place of one entry in the graph. */
export interface GraphNode {
  /** Dump ids, all of them in the archive, each once; after repointing tables to their data. */
  readonly dependencies: readonly number[];
  /** Dump ids that the entry needs to itself: nothing that uses one of them may run beside it. */
  readonly locks: readonly number[];
  /** Bytes of table data behind the entry: its own, or the largest that it depends on. */
  readonly sizeBytes: number;
  /** Estimated work, in bytes of COPY text that take as long to load. */
  readonly workBytes: number;
}

/** Work of building an index or checking a key, for each byte of COPY text of the table: about a quarter of loading it. */
const INDEX_WORK_PER_BYTE = 0.25;

const INDEX_KINDS = new Set(["INDEX", "CONSTRAINT", "FK CONSTRAINT"]);

/** The graph of all entries of an archive. */
export interface EntryGraph {
  readonly nodes: ReadonlyMap<number, GraphNode>;
  /** Dump id of a table → dump id of its TABLE DATA entry. */
  readonly dataOfTable: ReadonlyMap<number, number>;
}

/**
 * Builds the graph. `sizes`: bytes by dump id of a data entry, where known. Throws OperatingError "archive_invalid"
 * when entries depend on one another in a circle.
 */
export function buildGraph(entries: readonly TocEntry[], sizes: ReadonlyMap<number, number>): EntryGraph {
  const byId = new Map(entries.map((entry) => [entry.dumpId, entry]));
  const dataOfTable = new Map<number, number>();
  for (const entry of entries) {
    const table = entry.dependencies[0];
    if (entry.description === "TABLE DATA" && table !== undefined) dataOfTable.set(table, entry.dumpId);
  }
  const aclOfSchema = aclsOfSchemas(entries, byId);
  const nodes = new Map<number, GraphNode>();
  for (const entry of entries) {
    const node = nodeOf(entry, byId, dataOfTable, sizes);
    const schemaAcl = entry.description === "ACL" ? aclOfSchema.get(entry.namespace ?? "") : undefined;
    const isFree = schemaAcl === undefined || schemaAcl === entry.dumpId || node.dependencies.includes(schemaAcl);
    nodes.set(entry.dumpId, isFree ? node : { ...node, dependencies: [...node.dependencies, schemaAcl] });
  }
  refuseLoops(nodes, byId);
  return { nodes, dataOfTable };
}

/**
 * Name of a schema → dump id of its ACL. A grantee who passes a privilege on needs USAGE of the schema first; the archive
 * does not say so, and pg_restore -j now and then fails with "permission denied for schema".
 */
function aclsOfSchemas(entries: readonly TocEntry[], byId: ReadonlyMap<number, TocEntry>): ReadonlyMap<string, number> {
  const acls = new Map<string, number>();
  for (const { description, tag, dumpId, dependencies } of entries) {
    if (description !== "ACL") continue;
    const subject = byId.get(dependencies[0] ?? -1);
    if (subject?.description === "SCHEMA") acls.set(subject.tag, dumpId);
    else if (tag === "SCHEMA public") acls.set("public", dumpId); // the schema itself may not be in the archive
  }
  return acls;
}

function nodeOf(
  entry: TocEntry,
  byId: ReadonlyMap<number, TocEntry>,
  dataOfTable: ReadonlyMap<number, number>,
  sizes: ReadonlyMap<number, number>,
): GraphNode {
  const isPostData = entry.section === "post-data";
  let sizeBytes = sizes.get(entry.dumpId) ?? 0;
  const dependencies = new Set<number>();
  for (const id of entry.dependencies) {
    const data = isPostData ? dataOfTable.get(id) : undefined;
    if (data !== undefined) sizeBytes = Math.max(sizeBytes, sizes.get(data) ?? 0);
    const dependency = data ?? id;
    if (byId.has(dependency)) dependencies.add(dependency);
  }
  const locks: number[] = [];
  if (isPostData && entry.description !== "INDEX") {
    for (const id of dependencies) {
      const kind = byId.get(id)?.description;
      if (kind === "TABLE" || kind === "TABLE DATA") locks.push(id);
    }
  }
  const perByte = !isPostData ? 1 : INDEX_KINDS.has(entry.description) ? INDEX_WORK_PER_BYTE : 0;
  return { dependencies: [...dependencies], locks, sizeBytes, workBytes: perByte * sizeBytes };
}

function refuseLoops(nodes: ReadonlyMap<number, GraphNode>, byId: ReadonlyMap<number, TocEntry>): void {
  const openCounts = new Map<number, number>();
  const dependents = new Map<number, number[]>();
  for (const [id, node] of nodes) {
    openCounts.set(id, node.dependencies.length);
    for (const dependency of node.dependencies) {
      const list = dependents.get(dependency);
      if (list === undefined) dependents.set(dependency, [id]);
      else list.push(id);
    }
  }
  const ready = [...nodes.keys()].filter((id) => openCounts.get(id) === 0);
  let settledCount = 0;
  for (let id = ready.pop(); id !== undefined; id = ready.pop()) {
    settledCount += 1;
    openCounts.delete(id);
    for (const dependent of dependents.get(id) ?? []) {
      const open = (openCounts.get(dependent) ?? 0) - 1;
      openCounts.set(dependent, open);
      if (open === 0) ready.push(dependent);
    }
  }
  if (settledCount === nodes.size) return;
  const some = [...openCounts.keys()].slice(0, 5).map((id) => `${id} ${byId.get(id)?.description ?? ""}`.trim());
  throw new OperatingError("archive_invalid", "entries of the archive depend on one another in a circle", {
    detail: `Among them: ${some.join(", ")}.`,
    hint: "pg_dump writes no such archive; take another copy of it.",
  });
}
