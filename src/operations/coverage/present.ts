// What a database holds now that a backup should hold: tables with rows of their own, sequences, large objects. Extensions
// bring theirs themselves, but for configuration tables.

import type { Session } from "../../postgres/index.ts";

const OIDS_AT_ONCE = 50_000;

export interface PresentRelation {
  readonly oid: number;
  readonly namespace: string;
  readonly name: string;
  readonly kind: "table" | "sequence";
  readonly sizeBytes: number | null;
}

const RELATIONS = `
SELECT c.oid, n.nspname, c.relname, c.relkind, CASE c.relkind WHEN 'r' THEN pg_catalog.pg_table_size(c.oid) END
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'S') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                                                         AND d.objid = c.oid AND d.deptype = 'e')
        OR c.oid = ANY (SELECT pg_catalog.unnest(e.extconfig) FROM pg_catalog.pg_extension e))
 ORDER BY n.nspname, c.relname;`;

/** Tables and sequences, by schema and name. */
export async function readRelations(session: Session, signal: AbortSignal): Promise<PresentRelation[]> {
  const { rows } = await session.query(RELATIONS, { signal });
  return rows.map(([oid, namespace, name, kind, size]) => ({
    oid: Number(oid),
    namespace: namespace ?? "",
    name: name ?? "",
    kind: kind === "S" ? "sequence" : "table",
    sizeBytes: size === null || size === undefined ? null : Number(size),
  }));
}

/** How many large objects there are, and how many that `isCovered` does not know. */
export async function countLargeObjects(
  session: Session,
  isCovered: (oid: number) => boolean,
  signal: AbortSignal,
): Promise<{ readonly count: number; readonly uncoveredCount: number }> {
  let [count, uncoveredCount] = [0, 0];
  for (let last = 0; ;) {
    const { rows } = await session.query(
      `SELECT oid FROM pg_catalog.pg_largeobject_metadata WHERE oid > ${last} ORDER BY oid LIMIT ${OIDS_AT_ONCE};`,
      { signal },
    );
    for (const [text] of rows) {
      last = Number(text);
      count += 1;
      if (!isCovered(last)) uncoveredCount += 1;
    }
    if (rows.length < OIDS_AT_ONCE) return { count, uncoveredCount };
  }
}
