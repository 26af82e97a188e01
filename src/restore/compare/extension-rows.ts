// Tables of extensions whose rows are configuration: CREATE EXTENSION makes rows of its own, and an archive holds only those
// that the extension's condition lets through. So only these are compared.
// Source: PostgreSQL manual, "Extension Configuration Tables"; pg_dump.c, processExtensionTables.

import type { Session } from "../../postgres/index.ts";
import { firstBracketed, readQualifiedName } from "../sql-text.ts";
import type { TableGroup } from "./table-groups.ts";

const COPY = "COPY ";

/** The groups, those of extensions' tables with the condition of their extension. */
export async function withExtensionConditions(
  groups: readonly TableGroup[],
  session: Session,
  signal: AbortSignal,
): Promise<readonly TableGroup[]> {
  const { rows } = await session.query(
    `SELECT n.nspname, c.relname, config.condition
       FROM pg_catalog.pg_extension e, LATERAL ROWS FROM (pg_catalog.unnest(e.extconfig), pg_catalog.unnest(e.extcondition))
              AS config (oid, condition)
       JOIN pg_catalog.pg_class c ON c.oid = config.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE config.condition <> '';`,
    { signal },
  );
  if (rows.length === 0) return groups;
  const conditions = new Map(
    rows.map(([namespace, name, condition]) => [JSON.stringify([namespace, name]), condition]),
  );
  return groups.map((group) => {
    const name = readQualifiedName(group.statement, COPY.length);
    const condition = name === null ? undefined : conditions.get(JSON.stringify(name.parts));
    return name === null || !condition
      ? group
      : { ...group, statement: withCondition(group.statement, name.end, condition) };
  });
}

function withCondition(statement: string, nameEnd: number, condition: string): string {
  const rest = statement.slice(nameEnd);
  const body = firstBracketed(rest);
  const columns = body === null ? "" : rest.slice(body.start, body.end);
  return `COPY (SELECT ${columns} FROM ${statement.slice(COPY.length, nameEnd)} ${condition}) TO STDOUT;`;
}
