// ANALYZE of a restored database, table by table: one that cannot be analyzed (a partition on a foreign server) must not
// keep the others from it. It comes last, so that it changes nothing that is compared.

import { isOperatingError, messageOf } from "../../base/errors.ts";
import { openSession, type ConnectionSettings } from "../../postgres/index.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";

const TABLES = `
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 ORDER BY c.relkind = 'p', 1;`;

/** Analyzes; the warnings of what failed. */
export async function analyzeTables(context: OperationContext, target: ConnectionSettings): Promise<string[]> {
  const { signal } = context;
  await using session = await openSession(target, { signal, applicationName: "cairn drill" });
  const warnings: string[] = [];
  for (const [table] of (await session.query(TABLES, { signal })).rows) {
    try {
      await session.query(`ANALYZE ${table};`, { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!isOperatingError(error) || !session.isConnected) throw error;
      warnings.push(warn(context, { message: `ANALYZE of ${table} failed: ${messageOf(error)}` }));
    }
  }
  return warnings;
}
