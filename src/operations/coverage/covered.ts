// What the newest restore points of a database hold, together: relations with rows, relations by definition only, sequences
// with positions, large objects. Manifests and lists are read, no chunk.

import { memorySource, readToc } from "../../archive/index.ts";
import type { RestorePoint } from "../../repository/index.ts";

/** Large objects that are kept by OID; beyond that they count as covered. */
const LARGE_OBJECTS_MAX = 5_000_000;

export class Covered {
  readonly #rows = new Set<string>();
  readonly #definitions = new Set<string>();
  readonly #positions = new Set<string>();
  readonly #largeObjects = new Set<number>();
  #hasAllLargeObjects = false;

  /** Adds what a restore point holds. */
  async add(restorePoint: RestorePoint, signal: AbortSignal): Promise<void> {
    const { manifest } = restorePoint;
    for (const { namespace, name } of manifest.relations) this.#rows.add(keyOf(namespace, name));
    const { toc } = await readToc(memorySource(restorePoint.toc));
    for (const { description, namespace, tag } of toc.entries) {
      if (description === "TABLE" || description === "SEQUENCE") this.#definitions.add(keyOf(namespace, tag));
      if (description === "SEQUENCE SET") this.#positions.add(keyOf(namespace, tag));
    }
    for (const set of manifest.largeObjects) {
      for await (const record of restorePoint.largeObjects(set, signal)) {
        const oids = record.kind === "own" ? [record.oid] : record.objects.map(({ oid }) => oid);
        for (const oid of oids) this.#largeObjects.add(oid);
        if (this.#largeObjects.size <= LARGE_OBJECTS_MAX) continue;
        this.#hasAllLargeObjects = true;
        return;
      }
    }
  }

  /** Null when it is covered, else why it is not. */
  reasonOf(relation: {
    readonly kind: "table" | "sequence";
    readonly namespace: string;
    readonly name: string;
  }): string | null {
    const key = keyOf(relation.namespace, relation.name);
    if (relation.kind === "table" ? this.#rows.has(key) : this.#positions.has(key)) return null;
    if (!this.#definitions.has(key)) return "it is in no restore point: new since, or left out";
    return relation.kind === "table"
      ? "its definition is in a restore point, its rows are not"
      : "its definition is in a restore point, its position is not";
  }

  hasLargeObject(oid: number): boolean {
    return this.#hasAllLargeObjects || this.#largeObjects.has(oid);
  }
}

function keyOf(namespace: string | null, name: string): string {
  return JSON.stringify([namespace ?? "", name]);
}
