// Values of the type "char" above 127 in UTF-8 databases of servers before 15: such a server sends them as half a character,
// which no server takes again. Small tables are looked through, larger ones are only named.
// Source: own trials; PostgreSQL 15 release notes ("char" as octal escapes).

import { quoteIdentifier, quoteQualifiedName } from "../../postgres/index.ts";
import type { Ask } from "./check.ts";
import type { Finding } from "./finding.ts";
import { displayName, displayPart, listNames, namesDetail } from "./finding.ts";

const FIRST_MAJOR_WITH_ESCAPES = 15;
const COLUMN_COUNT_MAX = 200;
/** Tables up to this size are looked through. */
const SEARCHED_BYTES_MAX = 32 * 1024 * 1024;

interface CharColumn {
  readonly schema: string;
  readonly table: string;
  readonly column: string;
  readonly isSmall: boolean;
}

/** Names columns whose rows a restore refuses. */
export async function checkCharValues(ask: Ask, serverMajor: number): Promise<Finding[]> {
  if (serverMajor >= FIRST_MAJOR_WITH_ESCAPES) return [];
  if ((await ask("SELECT current_setting('server_encoding')"))[0]?.[0] !== "UTF8") return [];
  const certain: CharColumn[] = [];
  const possible: CharColumn[] = [];
  for (const column of await readColumns(ask)) {
    if (!column.isSmall) possible.push(column);
    else if (await hasHighValue(ask, column)) certain.push(column);
  }
  return [...findings(certain, "warning", "holds"), ...findings(possible, "info", "may hold")];
}

async function readColumns(ask: Ask): Promise<CharColumn[]> {
  const rows = await ask(`
SELECT n.nspname, c.relname, a.attname, pg_relation_size(c.oid) <= ${SEARCHED_BYTES_MAX} FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE a.atttypid = '"char"'::regtype AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r' AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2, 3 LIMIT ${COLUMN_COUNT_MAX}`);
  return rows.map(([schema, table, column, isSmall]) => {
    return { schema: schema!, table: table!, column: column!, isSmall: isSmall === "t" };
  });
}

async function hasHighValue(ask: Ask, { schema, table, column }: CharColumn): Promise<boolean> {
  const condition = `${quoteIdentifier(column)} OPERATOR(pg_catalog.>) E'\\177'::"char"`;
  const rows = await ask(`SELECT EXISTS (SELECT FROM ONLY ${quoteQualifiedName(schema, table)} WHERE ${condition})`);
  return rows[0]?.[0] === "t";
}

function findings(columns: readonly CharColumn[], severity: "warning" | "info", verb: string): Finding[] {
  if (columns.length === 0) return [];
  const names = columns.map(
    ({ schema, table, column }) => `${displayPart(column)} of ${displayName({ schema, name: table })}`,
  );
  const what = verb === "holds" ? "a restore fails at the rows of" : "a restore may fail at the rows of";
  return [
    {
      severity,
      code: "char-values",
      message: `${what} ${listNames(names)}: the column, of type "char", ${verb} a byte above 127`,
      detail: namesDetail(names),
      hint: "A server before 15 sends half a character for it, which no server takes. Change the values or the type.",
    },
  ];
}
