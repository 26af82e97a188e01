// Every type that is reachable from some columns, through arrays, domains, ranges, multiranges and composites, in one
// query; and one fingerprint for each set of column types. The server hashes what may be long or in another encoding.
// Looking types up in the catalog locks nothing, so nobody's ALTER is waited for.

import { createHash } from "node:crypto";

import { OperatingError } from "../../base/errors.ts";
import type { Session } from "../../postgres/index.ts";
import { ask, oidArray, textOf } from "./ask.ts";
import { objectionToType } from "./plain-types.ts";

/** Most types that are looked at; a database with more is read in full. */
const TYPE_COUNT_MAX = 200_000;

interface TypeNode {
  /** Of the type itself, without the types that it is made of. */
  readonly hash: string;
  readonly parts: readonly number[];
  readonly objection: string | null;
}

/** What a set of column types says. */
export interface TypeSetSummary {
  /** SHA-256, hex. */
  readonly fingerprint: string;
  readonly objection: string | null;
}

// The text of a type's own description: its output function as it is now, an enum's rows (with xmin: a label renamed and
// renamed back is a change), a composite's attributes (a dropped one has no type; the rest of a short row is the missing
// value, which never changes for an attribute number).
const OWN_DESCRIPTION = `
  pg_catalog.concat_ws(' ', t.oid, t.typtype, t.typoutput::pg_catalog.oid, t.typdelim, t.typelem, t.typbasetype, t.typtypmod, t.typrelid,
    f.prolang, pg_catalog.quote_literal(f.prosrc), pg_catalog.quote_literal(f.probin), e.oid, pg_catalog.quote_literal(e.extversion),
    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', l.oid, l.enumsortorder, l.xmin, pg_catalog.quote_literal(l.enumlabel)), ',' ORDER BY l.oid)
       FROM pg_catalog.pg_enum AS l WHERE t.typtype = 'e' AND l.enumtypid = t.oid),
    (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attnum, a.atttypid, a.atttypmod, a.attisdropped,
              a.attgenerated), ',' ORDER BY a.attnum)
       FROM pg_catalog.pg_attribute AS a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0))`;

const PARTS = `
    SELECT t.typelem WHERE t.typelem <> 0
    UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
    UNION ALL SELECT g.rngsubtype FROM pg_catalog.pg_range AS g WHERE t.typtype = 'r' AND g.rngtypid = t.oid
    UNION ALL SELECT g.rngtypid FROM pg_catalog.pg_range AS g WHERE t.typtype = 'm' AND g.rngmultitypid = t.oid
    UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute AS a
               WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped`;

// OFFSET 0 keeps the planner from making the parts of every type of the database.
function reachableQuery(roots: readonly number[]): string {
  return `
WITH RECURSIVE reached (oid) AS (
  SELECT oid FROM pg_catalog.unnest(${oidArray(roots)}) AS roots (oid)
  UNION
  SELECT next.oid FROM reached CROSS JOIN LATERAL (
    SELECT part.oid FROM pg_catalog.pg_type AS t CROSS JOIN LATERAL (${PARTS}) AS part (oid) WHERE t.oid = reached.oid OFFSET 0) AS next),
bounded AS MATERIALIZED (SELECT oid FROM reached LIMIT ${TYPE_COUNT_MAX + 1})
SELECT t.oid, pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(${OWN_DESCRIPTION}, pg_catalog.getdatabaseencoding())), 'hex'),
       (SELECT pg_catalog.string_agg(DISTINCT part.oid::pg_catalog.text, ',') FROM (${PARTS}) AS part (oid)),
       t.typtype, t.typsubscript::pg_catalog.oid = 'pg_catalog.array_subscript_handler(internal)'::pg_catalog.regprocedure::pg_catalog.oid,
       pg_catalog.encode(pg_catalog.convert_to(t.typname::pg_catalog.text, pg_catalog.getdatabaseencoding()), 'hex'),
       pg_catalog.encode(pg_catalog.convert_to(e.extname::pg_catalog.text, pg_catalog.getdatabaseencoding()), 'hex')
  FROM bounded JOIN pg_catalog.pg_type AS t ON t.oid = bounded.oid
  LEFT JOIN pg_catalog.pg_proc AS f ON f.oid = t.typoutput::pg_catalog.oid
  LEFT JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid AND d.objsubid = 0
        AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
  LEFT JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid`;
}

/** The types that are reachable from some columns' types. */
export class ReachableTypes {
  readonly #nodes: ReadonlyMap<number, TypeNode>;
  readonly #summaries = new Map<string, TypeSetSummary>();

  private constructor(nodes: ReadonlyMap<number, TypeNode>) {
    this.#nodes = nodes;
  }

  /** Throws what the server says, and when there are too many types. */
  static async read(session: Session, roots: readonly number[], signal: AbortSignal): Promise<ReachableTypes> {
    if (roots.length === 0) return new ReachableTypes(new Map());
    const rows = await ask(session, reachableQuery(roots), signal);
    if (rows.length > TYPE_COUNT_MAX) {
      throw new OperatingError("value_too_large", `the tables' columns reach more than ${TYPE_COUNT_MAX} types`);
    }
    return new ReachableTypes(new Map(rows.map((row) => [Number(textOf(row, 0)), toNode(row)])));
  }

  /** Of the types reachable from these. */
  summaryOf(roots: readonly number[]): TypeSetSummary {
    const key = [...new Set(roots)].toSorted((a, b) => a - b).join(",");
    let summary = this.#summaries.get(key);
    if (summary === undefined) {
      summary = this.#summarize(roots);
      this.#summaries.set(key, summary);
    }
    return summary;
  }

  #summarize(roots: readonly number[]): TypeSetSummary {
    const reached = new Set(roots);
    for (const oid of reached) for (const part of this.#nodes.get(oid)?.parts ?? []) reached.add(part);
    const hash = createHash("sha256");
    let objection: string | null = null;
    for (const oid of [...reached].toSorted((a, b) => a - b)) {
      const node = this.#nodes.get(oid);
      objection ??= node === undefined ? `type ${oid} is not in the catalog any more` : node.objection;
      hash.update(`${oid} ${node?.hash ?? ""}\n`);
    }
    return { fingerprint: hash.digest("hex"), objection };
  }
}

function toNode(row: readonly (string | null)[]): TypeNode {
  const decode = (hex: string): string => Buffer.from(hex, "hex").toString("utf8");
  const facts = {
    oid: Number(textOf(row, 0)),
    name: decode(textOf(row, 5)),
    kind: textOf(row, 3),
    extensionName: row[6] === null || row[6] === undefined ? null : decode(row[6]),
    isArray: row[4] === "t",
  };
  const parts = row[2] === null || row[2] === undefined ? [] : row[2].split(",").map(Number);
  return { hash: textOf(row, 1), parts, objection: objectionToType(facts) };
}
