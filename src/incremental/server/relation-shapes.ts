// Relations as they are stored and as COPY prints them now, outside of the backup's snapshot: COPY itself prints an enum's
// label or a composite's attributes of now. No table is locked: one whose ALTER waits for the backup would otherwise be
// waited for by it. Block counts come from the backup's plan for the same reason.

import { isOperatingError } from "../../base/errors.ts";
import type { Session } from "../../postgres/index.ts";
import type { RelationShape } from "../types.ts";
import type { Answer, Rows } from "./ask.ts";
import { answerOf, ask, oidArray, textOf } from "./ask.ts";
import { ReachableTypes, type TypeSetSummary } from "./reachable-types.ts";

/** OIDs below it are the server's own. */
const FIRST_USER_OID = 16_384;

/** Relations asked for at once. */
const BATCH_RELATION_COUNT = 5_000;

/** A relation whose rows are read. */
export interface RelationToShape {
  readonly oid: number;
  /** Of the backup's plan. */
  readonly blockCount: number;
}

// The columns that COPY lists: neither dropped nor generated. A missing value is what rows older than the column show; of
// types of the user's it is not printed (a table's row type would lock that table), the row version stands for it.
const COLUMNS = `
  SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attnum, a.atttypid, a.atttypmod,
           CASE WHEN NOT a.atthasmissing THEN ''
                WHEN a.atttypid < 16384 THEN pg_catalog.quote_literal(a.attmissingval::pg_catalog.text)
                ELSE 'xmin ' || a.xmin END), ',' ORDER BY a.attnum) AS text,
         pg_catalog.string_agg(DISTINCT a.atttypid::pg_catalog.text, ',') AS types
    FROM pg_catalog.pg_attribute AS a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''`;

function shapesQuery(oids: readonly number[]): string {
  return `
SELECT c.oid, CASE c.reltablespace WHEN 0 THEN d.dattablespace ELSE c.reltablespace END, pg_catalog.pg_relation_filenode(c.oid),
       c.relpersistence, c.relkind, m.oid = 2, pg_catalog.quote_ident(m.amname), c.oid = ANY (conditional.oids),
       pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(columns.text, ''), pg_catalog.getdatabaseencoding())), 'hex'),
       columns.types
  FROM pg_catalog.unnest(${oidArray(oids)}) AS wanted (oid)
  JOIN pg_catalog.pg_class AS c ON c.oid = wanted.oid
  JOIN pg_catalog.pg_database AS d ON d.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
 CROSS JOIN (SELECT coalesce(pg_catalog.array_agg(marked.oid), '{}') AS oids
               FROM pg_catalog.pg_extension AS e,
                    LATERAL ROWS FROM (pg_catalog.unnest(e.extconfig), pg_catalog.unnest(e.extcondition)) AS marked (oid, condition)
              WHERE marked.condition <> '') AS conditional
 CROSS JOIN LATERAL (${COLUMNS}) AS columns`;
}

// Which relations are looked at early, no more: by the time of the call the locks are held, whoever's they are. A pooler may give
// another number for the session's process: then nothing is found, or what another session has locked.
const lockedQuery = (processId: number): string => `
SELECT DISTINCT l.relation
  FROM pg_catalog.pg_locks AS l
  JOIN pg_catalog.pg_database AS d ON d.oid = l.database AND d.datname = pg_catalog.current_database()
 WHERE l.pid = ${processId} AND l.locktype = 'relation' AND l.mode = 'AccessShareLock' AND l.granted
   AND l.relation >= ${FIRST_USER_OID}`;

/** What the catalog said of relations at one time. */
export class SeenRelations {
  /** By OID. */
  readonly #rows: ReadonlyMap<number, Rows[number]>;
  readonly #typeSets: ReadonlyMap<string, TypeSetSummary>;

  private constructor(rows: Rows, typeSets: ReadonlyMap<string, TypeSetSummary>) {
    this.#rows = new Map(rows.map((row) => [Number(textOf(row, 0)), row]));
    this.#typeSets = typeSets;
  }

  /** Those of these relations that are there. The session is an ordinary one of the same database, in no transaction. */
  static async of(session: Session, oids: readonly number[], signal: AbortSignal): Promise<Answer<SeenRelations>> {
    return await answered(signal, async () => await SeenRelations.#read(session, [...new Set(oids)], signal));
  }

  /** Those that another session has locked for reading, to be called when it has; none where it is not found. */
  static async ofLocked(session: Session, processId: number, signal: AbortSignal): Promise<Answer<SeenRelations>> {
    return await answered(signal, async () => {
      const rows = await ask(session, lockedQuery(processId), signal);
      const oids = rows.map((row) => Number(textOf(row, 0)));
      return await SeenRelations.#read(session, oids, signal);
    });
  }

  static async #read(session: Session, oids: readonly number[], signal: AbortSignal): Promise<SeenRelations> {
    const rows = await readRows(session, oids, signal);
    return new SeenRelations(rows, await readTypeSets(session, rows, signal));
  }

  has(oid: number): boolean {
    return this.#rows.has(oid);
  }

  /** Shapes by OID; of relations that were not there, none. */
  shapesOf(relations: readonly RelationToShape[]): Map<number, RelationShape> {
    const shapes = new Map<number, RelationShape>();
    for (const { oid, blockCount } of relations) {
      const row = this.#rows.get(oid);
      if (row !== undefined) shapes.set(oid, toShape(row, this.#typeSets, { oid, blockCount }));
    }
    return shapes;
  }
}

/** Shapes by OID; a relation that is not there any more is missing. See SeenRelations.of() for the session. */
export async function readRelationShapes(
  session: Session,
  relations: readonly RelationToShape[],
  signal: AbortSignal,
): Promise<Answer<Map<number, RelationShape>>> {
  if (relations.length === 0) return { kind: "known", value: new Map() };
  const oids = relations.map(({ oid }) => oid);
  const seen = await SeenRelations.of(session, oids, signal);
  return seen.kind === "unknown" ? seen : { kind: "known", value: seen.value.shapesOf(relations) };
}

async function answered<T>(signal: AbortSignal, work: () => Promise<T>): Promise<Answer<T>> {
  try {
    return await answerOf("the catalog", signal, work);
  } catch (error) {
    if (isOperatingError(error, "value_too_large")) return { kind: "unknown", reason: error.message };
    throw error;
  }
}

async function readRows(session: Session, oids: readonly number[], signal: AbortSignal): Promise<Rows> {
  const rows: (readonly (string | null)[])[] = [];
  for (let start = 0; start < oids.length; start += BATCH_RELATION_COUNT) {
    for (const row of await ask(session, shapesQuery(oids.slice(start, start + BATCH_RELATION_COUNT)), signal)) {
      rows.push(row);
    }
  }
  return rows;
}

/** What each list of column types says; of thousands of tables most have the list of another one. */
async function readTypeSets(
  session: Session,
  rows: Rows,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, TypeSetSummary>> {
  const lists = new Map([...new Set(rows.map(typeList))].map((list) => [list, numbersOf(list)]));
  const types = await ReachableTypes.read(session, [...new Set([...lists.values()].flat())], signal);
  return new Map([...lists].map(([list, oids]) => [list, types.summaryOf(oids)]));
}

function typeList(row: Rows[number]): string {
  return row[9] ?? "";
}

function numbersOf(list: string): number[] {
  return list === "" ? [] : list.split(",").map(Number);
}

function toShape(
  row: Rows[number],
  typeSets: ReadonlyMap<string, TypeSetSummary>,
  { oid, blockCount }: RelationToShape,
): RelationShape {
  const typeSet = typeSets.get(typeList(row))!;
  return {
    oid,
    tablespaceOid: Number(textOf(row, 1)),
    filenode: Number(row[2] ?? 0), // null: it has no file
    persistence: textOf(row, 3),
    accessMethod: row[5] === "t" ? "heap" : (row[6] ?? null),
    blockCount,
    columnFingerprint: textOf(row, 8),
    typeFingerprint: typeSet.fingerprint,
    alwaysReadBecause: objectionToRelation(row) ?? typeSet.objection,
    isStable: true,
  };
}

function objectionToRelation(row: Rows[number]): string | null {
  if (row[4] === "f") return "it is a foreign table";
  if (row[4] !== "r") return "it is not a table";
  if (row[3] !== "p") return "it is not written to the WAL (unlogged or temporary)";
  if (row[5] !== "t") return `its access method is ${row[6] ?? "unknown"}, not heap`;
  if (row[7] === "t") return "its extension has only some of its rows dumped";
  return null;
}
