// Chunks that the parent restore point has: of one table by its oid or name, and of all large objects. Bounded: what is
// beyond the limit is stored anew.

import type { ChunkReference, RestorePoint, Run } from "../../repository/index.ts";

const CHUNKS_MAX = 200_000;

/** The parent's chunks by the text of their ids. */
export class KnownChunks {
  readonly #chunks = new Map<string, ChunkReference>();

  find(id: Uint8Array): ChunkReference | null {
    return this.#chunks.get(keyOf(id)) ?? null;
  }

  add(run: Run, chunk: ChunkReference): void {
    if (this.#chunks.size < CHUNKS_MAX && run.canReuse(chunk)) this.#chunks.set(keyOf(chunk.id), chunk);
  }

  get isFull(): boolean {
    return this.#chunks.size >= CHUNKS_MAX;
  }
}

function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("latin1");
}

/** The chunks of the table of that oid or, where the lineage is of another server, of that name. */
export async function knownTableChunks(
  run: Run,
  table: { readonly oid: number; readonly namespace: string; readonly name: string },
): Promise<KnownChunks> {
  const known = new KnownChunks();
  const relations = run.parent?.manifest.relations ?? [];
  const isNamed = ({ namespace, name }: { namespace: string; name: string }): boolean =>
    namespace === table.namespace && name === table.name;
  const relation = relations.find((one) => one.oid === table.oid && isNamed(one)) ?? relations.find(isNamed);
  if (relation === undefined || run.parent === null) return known;
  for await (const segment of run.parent.segments(relation)) {
    for (const chunk of segment.chunks) known.add(run, chunk);
    if (known.isFull) break;
  }
  return known;
}

/** The chunks of all large objects. */
export async function knownLargeObjectChunks(run: Run): Promise<KnownChunks> {
  const known = new KnownChunks();
  const { parent } = run;
  for (const set of parent?.manifest.largeObjects ?? []) {
    for await (const record of (parent as RestorePoint).largeObjects(set)) {
      for (const chunk of record.kind === "own" ? record.chunks : [record.chunk]) known.add(run, chunk);
      if (known.isFull) return known;
    }
  }
  return known;
}
