// How pg_largeobject is stored: the catalog's table that holds the data of all large objects of a database. Any role may ask
// for that, though not for its rows.

import type { Session } from "../../postgres/index.ts";
import type { RelationShape } from "../types.ts";
import type { Answer } from "./ask.ts";
import { answerOf, ask, textOf } from "./ask.ts";
import { readRelationShapes } from "./relation-shapes.ts";

/** Source: pg_largeobject.h. */
const LARGE_OBJECT_RELATION_OID = 2613;

const SIZE_QUERY = `
SELECT pg_catalog.pg_relation_size(${LARGE_OBJECT_RELATION_OID}) / pg_catalog.current_setting('block_size')::bigint`;

/** Its shape as it is now, outside of a snapshot, with its blocks counted. Ask after the snapshot's LSN was read. */
export async function readLargeObjectShape(session: Session, signal: AbortSignal): Promise<Answer<RelationShape>> {
  const size = await answerOf("the size of pg_largeobject", signal, () => ask(session, SIZE_QUERY, signal));
  if (size.kind === "unknown") return size;
  const relation = { oid: LARGE_OBJECT_RELATION_OID, blockCount: Number(textOf(size.value[0]!, 0)) };
  const shapes = await readRelationShapes(session, [relation], signal);
  if (shapes.kind === "unknown") return shapes;
  const shape = shapes.value.get(LARGE_OBJECT_RELATION_OID);
  return shape === undefined
    ? { kind: "unknown", reason: "the catalog does not show pg_largeobject" }
    : { kind: "known", value: shape };
}
