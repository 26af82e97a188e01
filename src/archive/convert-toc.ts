// Converts a table of contents to another archive version. Up, only the header changes. Down from 1.16, large objects
// in groups become one BLOB entry each, at the end of pre-data as pg_dump 15 has them, and one BLOBS entry with the
// data of all groups. A pure function: whoever writes the data takes it from where `mapping` says.

import { assert } from "../base/assert.ts";
import { OperatingError } from "../base/errors.ts";
import { minorOf } from "./archive-version.ts";
import {
  aclForLargeObject,
  isGroupAcl,
  largeObjectEntry,
  largeObjectOfTag,
  oidsOfMetadata,
} from "./large-object-entries.ts";
import type { ArchiveVersion, Toc, TocEntry } from "./toc.ts";

/** A converted table of contents. */
export interface ConvertedToc {
  readonly toc: Toc;
  /** For each entry with data, by its dump id: the dump ids in the original whose data it has, in order. */
  readonly mapping: ReadonlyMap<number, readonly number[]>;
}

/**
 * Converts to `version`, compression as it was. `largeObjectOids`, as readLargeObjectOids() gives it, is checked: each
 * large object with data must have an entry that creates it. Entries keep their dump ids; new ones come after the
 * highest.
 */
export function convertToc(
  toc: Toc,
  version: ArchiveVersion,
  largeObjectOids?: ReadonlyMap<number, readonly number[]>,
): ConvertedToc {
  const header = { ...toc.header, version };
  const hasGroups = toc.entries.some((entry) => entry.description === "BLOB METADATA");
  if (largeObjectOids !== undefined) checkAllCreated(toc, largeObjectOids);
  if (minorOf(version) >= 16 || !hasGroups) {
    const mapping = new Map<number, readonly number[]>();
    for (const entry of toc.entries) if (entry.hadDumper) mapping.set(entry.dumpId, [entry.dumpId]);
    return { toc: { ...toc, header }, mapping };
  }
  const { entries, mapping } = new GroupSplitter(toc.entries).split();
  return { toc: { ...toc, header, entries }, mapping };
}

/** Throws when data of a large object would have nothing that creates the object. */
function checkAllCreated(toc: Toc, largeObjectOids: ReadonlyMap<number, readonly number[]>): void {
  const created = new Set<number>();
  for (const entry of toc.entries) {
    if (entry.description === "BLOB") created.add(entry.catalogId.oid);
    if (entry.description === "BLOB METADATA") for (const oid of oidsOfMetadata(entry)) created.add(oid);
  }
  for (const oids of largeObjectOids.values()) {
    for (const oid of oids) {
      if (created.has(oid)) continue;
      throw new OperatingError("archive_invalid", `archive is not valid: no entry creates large object ${oid}`);
    }
  }
}

class GroupSplitter {
  readonly #entries: readonly TocEntry[];
  readonly #mapping = new Map<number, readonly number[]>();
  /** By the dump id of a group: its objects' new dump ids by OID. */
  readonly #objectsOfGroup = new Map<number, ReadonlyMap<number, number>>();
  /** Entries that say something of a group or one of its objects, in the original's order, by the group. */
  readonly #attached: TocEntry[] = [];
  #nextDumpId: number;
  #blobs: TocEntry | null = null;
  readonly #blobsIds = new Set<number>();

  constructor(entries: readonly TocEntry[]) {
    this.#entries = entries;
    this.#nextDumpId = entries.reduce((highest, entry) => Math.max(highest, entry.dumpId), 0) + 1;
  }

  split(): { entries: TocEntry[]; mapping: ReadonlyMap<number, readonly number[]> } {
    const created: TocEntry[] = [];
    for (const entry of this.#entries) {
      if (entry.description === "BLOB METADATA") created.push(...this.#splitGroup(entry));
      if (entry.description === "BLOBS") this.#addBlobs(entry);
    }
    const others: TocEntry[] = [];
    for (const entry of this.#entries) {
      if (entry.description === "BLOB METADATA") continue;
      const group = this.#groupOf(entry);
      if (entry.description === "BLOBS") {
        if (entry === this.#blobs) others.push(this.#mergedBlobs(entry));
      } else if (group !== undefined) {
        this.#attach(entry, group);
      } else {
        others.push(this.#redirected(entry));
        if (entry.hadDumper) this.#mapping.set(entry.dumpId, [entry.dumpId]);
      }
    }
    const dataIndex = others.findIndex((entry) => entry.section === "data" || entry.section === "post-data");
    others.splice(dataIndex === -1 ? others.length : dataIndex, 0, ...interleaved(created, this.#attached));
    return { entries: others, mapping: this.#mapping };
  }

  #splitGroup(group: TocEntry): TocEntry[] {
    const dumpIds = new Map<number, number>();
    const created: TocEntry[] = [];
    for (const oid of oidsOfMetadata(group)) {
      // The first object takes the group's dump id.
      const dumpId = created.length === 0 ? group.dumpId : this.#nextDumpId++;
      dumpIds.set(oid, dumpId);
      created.push(largeObjectEntry(group, oid, dumpId));
    }
    this.#objectsOfGroup.set(group.dumpId, dumpIds);
    return created;
  }

  #addBlobs(entry: TocEntry): void {
    this.#blobs ??= entry;
    this.#blobsIds.add(entry.dumpId);
  }

  /** All data under one entry, as pg_dump up to 16 writes it: without dependencies, sections order it. */
  #mergedBlobs(first: TocEntry): TocEntry {
    this.#mapping.set(first.dumpId, [...this.#blobsIds]);
    return { ...first, tag: "BLOBS", catalogId: { tableOid: 0, oid: 0 }, owner: "", dependencies: [] };
  }

  /** The objects of the group that an ACL, comment or security label belongs to. */
  #groupOf(entry: TocEntry): ReadonlyMap<number, number> | undefined {
    if (!entry.tag.startsWith("LARGE OBJECT")) return undefined;
    for (const dependency of entry.dependencies) {
      const group = this.#objectsOfGroup.get(dependency);
      if (group !== undefined) return group;
    }
    return undefined;
  }

  #attach(entry: TocEntry, group: ReadonlyMap<number, number>): void {
    if (isGroupAcl(entry)) {
      let isFirst = true;
      for (const [oid, objectId] of group) {
        // The first object's ACL keeps the dump id.
        const dumpId = isFirst ? entry.dumpId : this.#nextDumpId++;
        isFirst = false;
        const definition = aclForLargeObject(entry.definition, oid);
        this.#attached.push({ ...entry, dumpId, tag: `LARGE OBJECT ${oid}`, definition, dependencies: [objectId] });
      }
      return;
    }
    const oid = largeObjectOfTag(entry);
    const objectId = oid === null ? undefined : group.get(oid);
    this.#attached.push({ ...entry, dependencies: objectId === undefined ? [...group.values()] : [objectId] });
  }

  /** Any other entry: what depended on a group or a merged BLOBS entry depends on what it became. */
  #redirected(entry: TocEntry): TocEntry {
    const isAffected = (id: number): boolean => this.#objectsOfGroup.has(id) || this.#blobsIds.has(id);
    if (!entry.dependencies.some(isAffected)) return entry;
    const dependencies = entry.dependencies.flatMap((id) => {
      const group = this.#objectsOfGroup.get(id);
      if (group !== undefined) return [...group.values()];
      return this.#blobsIds.has(id) && this.#blobs !== null ? [this.#blobs.dumpId] : [id];
    });
    return { ...entry, dependencies: [...new Set(dependencies)] };
  }
}

/** Each created object, and right after it what is attached to it. */
function interleaved(created: readonly TocEntry[], attached: readonly TocEntry[]): TocEntry[] {
  const attachedTo = new Map<number, TocEntry[]>();
  for (const entry of attached) {
    const target = entry.dependencies[0];
    assert(target !== undefined, "an attached entry has a dependency");
    const list = attachedTo.get(target) ?? [];
    list.push(entry);
    attachedTo.set(target, list);
  }
  return created.flatMap((entry) => [entry, ...(attachedTo.get(entry.dumpId) ?? [])]);
}
