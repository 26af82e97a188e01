// What the catalog says of the relations to be read, asked twice: within the snapshot and outside it. A relation whose
// file or columns differ was rewritten between snapshot and lock: COPY in the snapshot would then give no rows and no
// error. One whose name differs, or whose schema was altered, is perhaps not the one that was locked: LOCK goes by names.

import { createHash } from "node:crypto";

import { assert } from "../base/assert.ts";
import type { Session } from "../postgres/index.ts";
import type { RelationFacts } from "./segment-plan.ts";

/** One relation as one of the two sessions sees it. */
export interface RelationState {
  readonly facts: RelationFacts;
  /** Changes when the relation's file or columns or names change. */
  readonly fingerprint: string;
  /** The part of it that NAMES_EXPRESSION gives. */
  readonly names: string;
}

// Of pg_class c and pg_namespace n. The schema's row version shows a renaming there and back, and other changes of it. Bytes
// as they are stored: two sessions may have different encodings.
const hexOf = (name: string): string =>
  `pg_catalog.encode(pg_catalog.convert_to(${name}::pg_catalog.text, pg_catalog.getdatabaseencoding()), 'hex')`;

/** SQL that gives another text when a relation or its schema has another name, and when its schema was altered. */
export const NAMES_EXPRESSION = `pg_catalog.concat_ws(' ', n.oid, n.xmin, ${hexOf("n.nspname")}, ${hexOf("c.relname")})`;

const COLUMNS_EXPRESSION = `
       (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat_ws(' ', t.attnum, t.attname, t.atttypid, t.atttypmod,
                 t.attisdropped, t.attgenerated), ',' ORDER BY t.attnum))
          FROM pg_catalog.pg_attribute t WHERE t.attrelid = c.oid AND t.attnum > 0)`;

const FACTS_QUERY = `
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, coalesce(a.amname, ''), c.reltablespace, c.relfilenode,
       heap.size / pg_catalog.current_setting('block_size')::bigint,
       ${COLUMNS_EXPRESSION},
       ${NAMES_EXPRESSION},
       TOAST / pg_catalog.current_setting('block_size')::bigint
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
 CROSS JOIN LATERAL (SELECT SIZE AS size OFFSET 0) AS heap
 WHERE c.oid = ANY (ARRAY[OIDS]::pg_catalog.oid[])`;

// As toState() puts a fingerprint together.
const FINGERPRINTS_QUERY = `
SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.string_agg(
         pg_catalog.concat_ws(' ', c.oid, c.relfilenode, c.reltablespace, coalesce(${COLUMNS_EXPRESSION}, ''), ${NAMES_EXPRESSION}),
         ',' ORDER BY c.oid), pg_catalog.getdatabaseencoding())), 'hex')
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (ARRAY[OIDS]::pg_catalog.oid[])`;

const SIZE_EXPRESSION = "CASE WHEN c.relkind IN ('r', 'm', 't') THEN pg_catalog.pg_relation_size(c.oid) ELSE 0 END";

// Not asked for of a table that is one segment anyway. Null when a VACUUM FULL has just replaced it.
const TOAST_EXPRESSION = `
       CASE WHEN c.reltoastrelid <> 0 AND heap.size > pg_catalog.current_setting('block_size')::bigint
            THEN coalesce(pg_catalog.pg_relation_size(c.reltoastrelid), 0) ELSE 0 END`;

export interface StatesOptions {
  /**
   * Whether blocks are counted. That takes a lock on each table, so only the holder may do it, which has them all:
   * another session would wait behind somebody's queued ALTER, and that one for the holder, without end.
   */
  readonly countsBlocks: boolean;
  readonly signal: AbortSignal;
}

/** States of the relations by OID; one that is not there any more is missing. */
export async function readRelationStates(
  session: Session,
  oids: readonly number[],
  { countsBlocks, signal }: StatesOptions,
): Promise<Map<number, RelationState>> {
  if (oids.length === 0) return new Map();
  const list = [...new Set(oids)].join(",");
  const query = FACTS_QUERY.replace("SIZE", countsBlocks ? SIZE_EXPRESSION : "0")
    .replace("TOAST", countsBlocks ? TOAST_EXPRESSION : "0")
    .replace("OIDS", list);
  const { rows } = await session.query(query, { signal });
  return new Map(rows.map((row) => [Number(row[0]), toState(row)]));
}

/** One hash of all their fingerprints as they are now, for haveFingerprints(): ten thousand rows need not be sent. */
export async function hashFingerprints(
  session: Session,
  oids: readonly number[],
  signal: AbortSignal,
): Promise<string> {
  const { value } = await session.query(FINGERPRINTS_QUERY.replace("OIDS", [...new Set(oids)].join(",")), { signal });
  return value ?? "";
}

/** True when these states have the fingerprints of which that is the hash. */
export function haveFingerprints(states: ReadonlyMap<number, RelationState>, hash: string): boolean {
  const inOrder = [...states.values()].toSorted((one, other) => one.facts.oid - other.facts.oid);
  const lines = inOrder.map(({ facts: { oid }, fingerprint }) => `${oid} ${fingerprint}`);
  return createHash("sha256").update(lines.join(",")).digest("hex") === hash;
}

function toState(row: readonly (string | null)[]): RelationState {
  const text = (index: number): string => {
    const value = row[index];
    assert(value !== undefined, "the facts query has this column");
    return value ?? "";
  };
  const facts: RelationFacts = {
    oid: Number(text(0)),
    namespace: text(1),
    name: text(2),
    kind: text(3),
    persistence: text(4),
    accessMethod: text(5) === "" ? null : text(5),
    tablespaceOid: Number(text(6)),
    filenode: Number(text(7)),
    blockCount: Number(text(8)),
    toastBlockCount: Number(text(11)),
  };
  const names = text(10);
  return { facts, fingerprint: `${text(7)} ${text(6)} ${text(9)} ${names}`, names };
}

/** Relations that are not now what the snapshot shows. */
export function changedRelations(
  inSnapshot: ReadonlyMap<number, RelationState>,
  now: ReadonlyMap<number, RelationState>,
): RelationFacts[] {
  const states = [...inSnapshot.values()];
  return states
    .filter((state) => now.get(state.facts.oid)?.fingerprint !== state.fingerprint)
    .map(({ facts }) => facts);
}
