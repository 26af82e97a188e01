// Compares what the catalog of the restored database says with the archive's entries, without a pg_dump: sequences where
// they stand, constraints there and valid as in the archive, indexes there and valid.

import type { Toc, TocEntry } from "../../archive/index.ts";
import type { Session } from "../../postgres/index.ts";
import { qualifiedName } from "../sql-text.ts";
import { entryName, type Difference } from "./difference.ts";

const SEQUENCES_AT_ONCE = 200;
const POSITION = /, (-?\d+), (true|false)\);\s*$/;

/** What was compared, and what is different. */
export interface CatalogComparison {
  readonly comparedCount: number;
  readonly differences: readonly Difference[];
}

function keyOf(namespace: string | null, name: string): string {
  return JSON.stringify([namespace ?? "", name]);
}

/** Where each sequence stands: last_value and is_called. */
export async function compareSequences(session: Session, toc: Toc, signal: AbortSignal): Promise<CatalogComparison> {
  const entries = toc.entries.filter(({ description }) => description === "SEQUENCE SET");
  const there = await existing(session, ["S"], signal);
  const differences: Difference[] = [];
  const present: TocEntry[] = [];
  for (const entry of entries) {
    if (there.has(keyOf(entry.namespace, entry.tag))) present.push(entry);
    else differences.push({ kind: "sequence", name: sequenceName(entry), what: "is missing" });
  }
  for (let start = 0; start < present.length; start += SEQUENCES_AT_ONCE) {
    const some = present.slice(start, start + SEQUENCES_AT_ONCE);
    const selects = some.map(
      (entry, index) => `SELECT ${index}, last_value, is_called FROM ${qualifiedName(entry.namespace, entry.tag)}`,
    );
    const { rows } = await session.query(selects.join(" UNION ALL "), { signal });
    const positions = new Map(rows.map(([index, value, called]) => [Number(index), `${value}, ${called === "t"}`]));
    for (const [index, entry] of some.entries()) {
      const match = POSITION.exec(entry.definition);
      const expected = match === null ? "unknown" : `${match[1]}, ${match[2] === "true"}`;
      const found = positions.get(index) ?? "unknown";
      if (found === expected) continue;
      const what = `stands at ${found}, not at ${expected} (last_value, is_called)`;
      differences.push({ kind: "sequence", name: sequenceName(entry), what });
    }
  }
  return { comparedCount: entries.length, differences };
}

function sequenceName({ namespace, tag }: TocEntry): string {
  return `sequence ${namespace === null || namespace === "" ? "" : `${namespace}.`}${tag}`;
}

async function existing(session: Session, kinds: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string>> {
  const { rows } = await session.query(
    `SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = ANY ('{${kinds.join(",")}}');`,
    { signal },
  );
  return new Set(rows.map(([namespace, name]) => keyOf(namespace ?? "", name ?? "")));
}

const CONSTRAINT_KINDS = new Set(["CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT"]);
/** Written at the end of a constraint that is not checked against the rows that are there. */
const NOT_VALIDATED = / NOT (VALID|ENFORCED)\s*;\s*$/;

/** Each constraint is there, and validated as in the archive. Those within CREATE TABLE stand in its definition. */
export async function compareConstraints(session: Session, toc: Toc, signal: AbortSignal): Promise<CatalogComparison> {
  const { rows } = await session.query(
    `SELECT n.nspname, coalesce(c.relname, t.typname), k.conname, k.convalidated FROM pg_catalog.pg_constraint k
       JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
       LEFT JOIN pg_catalog.pg_class c ON c.oid = k.conrelid LEFT JOIN pg_catalog.pg_type t ON t.oid = k.contypid;`,
    { signal },
  );
  // pg_dump's tag of a constraint: its table and its name.
  const there = new Map(rows.map(([namespace, owner, name, valid]) => [keyOf(namespace!, `${owner} ${name}`), valid]));
  const entries = toc.entries.filter(({ description }) => CONSTRAINT_KINDS.has(description));
  const differences = entries.flatMap((entry): Difference[] => {
    const found = there.get(keyOf(entry.namespace, entry.tag));
    if (found === undefined) return [{ kind: "constraint", name: entryName(entry), what: "is missing" }];
    const expected = NOT_VALIDATED.test(entry.definition) ? "f" : "t";
    if (found === expected) return [];
    const what = found === "t" ? "is validated, in the archive it is not" : "is not validated";
    return [{ kind: "constraint", name: entryName(entry), what }];
  });
  return { comparedCount: entries.length, differences };
}

/** Each index is there, and none is invalid (but partitioned ones, which may be so in the source too). */
export async function compareIndexes(session: Session, toc: Toc, signal: AbortSignal): Promise<CatalogComparison> {
  const there = await existing(session, ["i", "I"], signal);
  const entries = toc.entries.filter(({ description }) => description === "INDEX");
  const missing = entries.filter((entry) => !there.has(keyOf(entry.namespace, entry.tag)));
  const { rows } = await session.query(
    `SELECT n.nspname, c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) AND c.relkind = 'i' ORDER BY 1, 2;`,
    { signal },
  );
  return {
    comparedCount: entries.length,
    differences: [
      ...missing.map((entry): Difference => ({ kind: "index", name: entryName(entry), what: "is missing" })),
      ...rows.map(([namespace, name]): Difference => {
        return { kind: "index", name: `INDEX ${namespace}.${name}`, what: "is not valid" };
      }),
    ],
  };
}
