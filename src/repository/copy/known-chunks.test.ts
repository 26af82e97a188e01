import { expect, test } from "vitest";

import type { ChunkReference } from "../lists.ts";
import type { RelationRecord } from "../manifest.ts";
import type { RestorePoint } from "../restore-point.ts";
import { chunkKey, KnownChunks } from "./known-chunks.ts";

function chunk(id: number, itemNumber: number, base: ChunkReference | null = null): ChunkReference {
  const facts = { kind: "table", pack: "p", offset: 0, lengthBytes: 10, rawLengthBytes: 100 } as const;
  const encoding = base === null ? "zstd" : "zstd-delta";
  return { ...facts, id: Buffer.alloc(32, id), itemNumber, rowCount: 1, continues: false, encoding, base };
}

test.each([false, true])(
  "KnownChunks prefers full chunks to deltas of the same id, in reverse order: %s",
  async (isReverse) => {
    const base = chunk(1, 1);
    const full = chunk(2, 2);
    const other = chunk(3, 3);
    // The second delta has the id of what the third leans on.
    const inOrder = [full, chunk(2, 4, base), chunk(1, 5, other), chunk(4, 6, base)];
    const chunks = isReverse ? inOrder.toReversed() : inOrder;
    const relation = { dumpId: 1, oid: 1, namespace: "public", name: "t", segmentBlocks: 8 } as RelationRecord;
    const parent = {
      findRelation: () => relation,
      segments: async function* () {
        yield { firstBlock: 0, chunks };
      },
    } as unknown as RestorePoint;
    const known = await new KnownChunks({ parent, twin: null, areIdsEqual: true }).segmentsOf(relation).at(0);
    for (const wanted of [base, full, other]) expect(known.byTargetId.get(chunkKey(wanted.id))).toBe(wanted);
    expect(known.bySourceId.get(chunkKey(full.id))).toBe(full);
  },
);
