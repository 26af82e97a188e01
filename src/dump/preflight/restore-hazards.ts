// Functions that a restore evaluates (in CHECKs, indexes, generated columns, partition keys, materialized views) and
// that will fail there: a restore runs with an empty search_path, so that a name without a schema is not found; and it
// loads tables in an order of its own, so that a CHECK that reads another table finds it empty. Heuristic: SQL and
// PL/pgSQL texts are read, and what they call, to a limited depth.

import { quoteIdentifier, quoteLiteral } from "../../postgres/index.ts";
import type { Ask, Rows } from "./check.ts";
import type { Finding } from "./finding.ts";
import { displayName, displayPart, joinSentences, listNames, namesDetail } from "./finding.ts";
import type { NamedThing } from "./function-body.ts";
import { namesInBody } from "./function-body.ts";

const DEPTH_MAX = 5;
const FUNCTION_COUNT_MAX = 2_000;
const FINDING_COUNT_MAX = 50;
const NAME_COUNT_MAX = 5_000;

interface FunctionText {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** As GRANT and ALTER FUNCTION want it, quoted. */
  readonly signature: string;
  readonly source: string;
  /** Its search_path is set on the function, or its body is parsed: names in it are resolved already. */
  readonly isSafe: boolean;
}

/** Where a function is evaluated by a restore. */
interface Use {
  readonly functionOid: number;
  readonly kind: string;
  readonly object: string;
}

/** What exists under a name outside pg_catalog. */
interface Meaning extends NamedThing {
  readonly schemas: readonly string[];
}

/** Looks for the two hazards. */
export async function checkRestoreHazards(ask: Ask, serverMajor: number): Promise<Finding[]> {
  const uses = await readUses(ask);
  if (uses.length === 0) return [];
  const graph = new FunctionGraph(serverMajor);
  let next = [...new Set(uses.map(({ functionOid }) => functionOid))];
  for (let depth = 0; depth < DEPTH_MAX && next.length > 0; depth += 1) next = await graph.extend(ask, next);
  const findings = [...Map.groupBy(uses, ({ functionOid }) => functionOid)].flatMap(([oid, usesOfIt]) => [
    ...pathFindings(graph, oid, usesOfIt),
    ...orderFindings(graph, oid, usesOfIt),
  ]);
  return findings.slice(0, FINDING_COUNT_MAX);
}

async function readUses(ask: Ask): Promise<Use[]> {
  // What depends on functions first, which is mostly nothing: ten thousand indexes need not be looked at for it.
  const isDepending = (oid: string): string => `${oid} = ANY ((SELECT oids FROM depending)::oid[])`;
  const rows = await ask(`
WITH d AS MATERIALIZED (
  SELECT classid, objid, refobjid FROM pg_depend WHERE refclassid = 'pg_proc'::regclass AND refobjid >= 16384),
depending AS (SELECT coalesce(array_agg(DISTINCT objid), '{}') AS oids FROM d)
SELECT DISTINCT d.refobjid, u.kind, u.schema, u.relation, u.name FROM d JOIN (
  SELECT 'pg_constraint'::regclass AS classid, k.oid, 'CHECK constraint' AS kind, n.nspname AS schema,
         coalesce(c.relname, t.typname) AS relation, k.conname AS name
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
    LEFT JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_type t ON t.oid = k.contypid
   WHERE k.contype = 'c' AND ${isDepending("k.oid")}
  UNION ALL
  SELECT 'pg_class'::regclass, c.oid, CASE c.relkind WHEN 'p' THEN 'partition key' ELSE 'index' END, n.nspname, c.relname, NULL
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('i', 'I', 'p') AND ${isDepending("c.oid")}
  UNION ALL
  SELECT 'pg_attrdef'::regclass, f.oid, 'generated column', n.nspname, c.relname, a.attname
    FROM pg_attrdef f JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum AND a.attgenerated <> ''
    JOIN pg_class c ON c.oid = f.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${isDepending("f.oid")}
  UNION ALL
  SELECT 'pg_rewrite'::regclass, r.oid, 'materialized view', n.nspname, c.relname, NULL
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class AND c.relkind = 'm' JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE ${isDepending("r.oid")}
) AS u ON u.classid = d.classid AND u.oid = d.objid
 ORDER BY 2, 3, 4, 5 LIMIT ${FUNCTION_COUNT_MAX}`);
  return rows.map(([functionOid, kind, schema, relation, name]) => {
    const owner = displayName({ schema: schema!, name: relation! });
    return {
      functionOid: Number(functionOid),
      kind: kind!,
      object: name === null || name === undefined ? `${kind} ${owner}` : `${kind} ${displayPart(name)} of ${owner}`,
    };
  });
}

/** Functions read so far, and what their names mean. */
class FunctionGraph {
  readonly functions = new Map<number, FunctionText>();
  readonly #names = new Map<number, NamedThing[]>();
  readonly #meanings = new Map<string, Meaning>();
  readonly #functionsByName = new Map<string, number[]>();
  readonly #serverMajor: number;

  constructor(serverMajor: number) {
    this.#serverMajor = serverMajor;
  }

  /** Reads functions and what they name; the OIDs of functions called that were not read yet. */
  async extend(ask: Ask, oids: readonly number[]): Promise<number[]> {
    const added = await this.#readFunctions(ask, oids);
    const names = added.flatMap((text) => this.#names.get(text.oid)!);
    await this.#readMeanings(ask, names);
    const called = added.flatMap(({ oid }) => this.calledBy(oid)).filter((oid) => !this.functions.has(oid));
    return this.functions.size > FUNCTION_COUNT_MAX ? [] : [...new Set(called)];
  }

  /** Functions that a function may call. */
  calledBy(oid: number): number[] {
    const things = this.#names.get(oid) ?? [];
    return things
      .filter(({ kind }) => kind === "function")
      .flatMap((thing) => this.#functionsByName.get(thing.name) ?? []);
  }

  /** What exists of what a function names, by its names without a schema (`isQualified` false) or all. */
  namesOf(oid: number): Meaning[] {
    return (this.#names.get(oid) ?? []).flatMap((thing) => {
      const meaning = this.#meanings.get(keyOf(thing));
      if (meaning === undefined || (thing.schema !== null && !meaning.schemas.includes(thing.schema))) return [];
      return [{ ...thing, schemas: meaning.schemas }];
    });
  }

  /** The function and all that it calls, itself first. Stops at safe ones when `untilSafe`. */
  reach(oid: number, untilSafe: boolean): FunctionText[] {
    const reached = new Set<number>();
    const visit = (next: number): void => {
      const text = this.functions.get(next);
      if (text === undefined || reached.has(next) || (untilSafe && text.isSafe)) return;
      reached.add(next);
      this.calledBy(next).forEach(visit);
    };
    visit(oid);
    return [...reached].map((found) => this.functions.get(found)!);
  }

  async #readFunctions(ask: Ask, oids: readonly number[]): Promise<FunctionText[]> {
    const parsed = this.#serverMajor >= 14 ? "p.prosqlbody IS NOT NULL" : "false";
    const rows = await ask(`
SELECT p.oid, n.nspname, p.proname, quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '(' ||
       pg_get_function_identity_arguments(p.oid) || ')', p.prosrc,
       ${parsed} OR EXISTS (SELECT FROM unnest(p.proconfig) AS s WHERE s LIKE 'search\\_path=%')
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
 WHERE p.oid = ANY (ARRAY[${oids.join(",")}]::oid[]) AND l.lanname IN ('sql', 'plpgsql') AND p.prokind = 'f'`);
    return rows.map((row) => {
      const [oid, schema, name, signature, source, isSafe] = row;
      const text = { schema: schema!, name: name!, signature: signature!, source: source!, isSafe: isSafe === "t" };
      const entry = { ...text, oid: Number(oid) };
      this.functions.set(entry.oid, entry);
      this.#names.set(entry.oid, namesInBody(entry.source));
      return entry;
    });
  }

  async #readMeanings(ask: Ask, things: readonly NamedThing[]): Promise<void> {
    const names = [...new Set(things.map(({ name }) => name))].slice(0, NAME_COUNT_MAX);
    if (names.length === 0) return;
    const rows = await ask(meaningsQuery(names));
    for (const [key, group] of Map.groupBy(rows, ([kind, name]) => JSON.stringify([kind, name])))
      this.#addMeaning(key, group);
  }

  #addMeaning(key: string, group: Rows): void {
    const [kind, name] = group[0]!;
    const schemas = group.map((row) => row[2]!);
    // What pg_catalog has is found under an empty search_path too.
    if (schemas.includes("pg_catalog")) return;
    this.#meanings.set(key, {
      kind: kind as NamedThing["kind"],
      schema: null,
      name: name!,
      schemas: [...new Set(schemas)],
    });
    if (kind === "function")
      this.#functionsByName.set(
        name!,
        group.map((row) => Number(row[3])),
      );
  }
}

function keyOf(thing: NamedThing): string {
  return JSON.stringify([thing.kind, thing.name]);
}

function meaningsQuery(names: readonly string[]): string {
  const list = `ARRAY[${names.map(quoteLiteral).join(", ")}]::name[]`;
  const schema = "JOIN pg_namespace n ON n.oid =";
  return `
SELECT 'function', p.proname, n.nspname, p.oid FROM pg_proc p ${schema} p.pronamespace WHERE p.proname = ANY (${list})
UNION ALL
SELECT 'relation', c.relname, n.nspname, c.oid FROM pg_class c ${schema} c.relnamespace
 WHERE c.relname = ANY (${list}) AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
UNION ALL
SELECT 'type', t.typname, n.nspname, t.oid FROM pg_type t ${schema} t.typnamespace WHERE t.typname = ANY (${list})`;
}

function pathFindings(graph: FunctionGraph, oid: number, uses: readonly Use[]): Finding[] {
  for (const text of graph.reach(oid, true)) {
    const unqualified = graph.namesOf(text.oid).filter(({ schema }) => schema === null);
    if (unqualified.length === 0) continue;
    const objects = uses.map(({ object }) => object);
    const names = unqualified.map(({ kind, name }) => `${kind} ${displayPart(name)}`);
    const schemas = [...new Set(unqualified.flatMap((meaning) => meaning.schemas))];
    return [
      {
        severity: "warning",
        code: "restore-search-path",
        message: `a restore is likely to fail at ${listNames(objects)}: ${describe(text)} names ${listNames(names)} without a schema`,
        detail: joinSentences(
          namesDetail(objects),
          "A restore runs with an empty search_path, so that such names are not found.",
        ),
        hint: "Write the names with their schemas, or set the function's search_path.",
        statements: [
          `ALTER FUNCTION ${text.signature} SET search_path = ${["pg_catalog", ...schemas].map(quoteIdentifier).join(", ")};`,
        ],
      },
    ];
  }
  return [];
}

function orderFindings(graph: FunctionGraph, oid: number, uses: readonly Use[]): Finding[] {
  const objects = uses.filter(({ kind }) => kind === "CHECK constraint").map(({ object }) => object);
  if (objects.length === 0) return [];
  for (const text of graph.reach(oid, false)) {
    const relations = graph.namesOf(text.oid).filter(({ kind }) => kind === "relation");
    if (relations.length === 0) continue;
    const names = relations.map(({ schemas, schema, name }) => displayName({ schema: schema ?? schemas[0]!, name }));
    return [
      {
        severity: "warning",
        code: "restore-order",
        message: `a restore may fail at ${listNames(objects)}: ${describe(text)} reads ${listNames(names)}`,
        detail: joinSentences(
          namesDetail(objects),
          "A CHECK must look at its own row only: a restore loads tables in an order of its own, and the other one may still be empty.",
        ),
        hint: "Replace the constraint by a trigger or a foreign key, which a restore makes after the rows.",
      },
    ];
  }
  return [];
}

function describe(text: FunctionText): string {
  return `function ${displayName(text)}`;
}
