// pg_dump locks what it defines; a table of an extension whose rows it dumps gets its lock by the COPY only, which the relay answers
// itself. Without one a TRUNCATE after the look at the files would leave no rows to be read, and no error.

import { isOperatingError, messageOf, OperatingError } from "../base/errors.ts";
import { quoteLiteral } from "../postgres/index.ts";
import type { Contents } from "./contents.ts";
import { relationOfCopy } from "./copy-statement.ts";

const LOCK_TIMEOUT_FLAG = "--lock-wait-timeout=";
const QUERY_CANCELED = "57014";

/** The holder locks the tables that it will read and that pg_dump left unlocked, as pg_dump would and for as long. */
export async function lockRest(
  { toc, copyStatements, holder }: Contents,
  { arguments: flags, signal }: { readonly arguments: readonly string[]; readonly signal: AbortSignal },
): Promise<void> {
  const defined = new Set(
    toc.entries.filter(({ description }) => description === "TABLE").map(({ catalogId }) => catalogId.oid),
  );
  const entries = toc.entries.filter(
    ({ dumpId, catalogId }) => copyStatements.has(dumpId) && !defined.has(catalogId.oid),
  );
  if (entries.length === 0) return;
  const { rows } = await holder.query(tablesQuery(entries.map(({ catalogId }) => catalogId.oid)), { signal });
  const oids = new Set(rows.map(([oid]) => Number(oid)));
  const names = entries
    .filter(({ catalogId }) => oids.has(catalogId.oid))
    .map(({ dumpId }) => relationOfCopy(copyStatements.get(dumpId)!))
    .filter((name) => name !== null);
  if (names.length === 0) return;
  const lock = `LOCK TABLE ${names.map((name) => `ONLY ${name}`).join(", ")} IN ACCESS SHARE MODE`;
  const limit = flags.findLast((flag) => flag.startsWith(LOCK_TIMEOUT_FLAG))?.slice(LOCK_TIMEOUT_FLAG.length);
  if (limit !== undefined) await holder.query(`SET statement_timeout TO ${quoteLiteral(limit)}`, { signal });
  try {
    await holder.query(Buffer.from(lock, "latin1"), { signal }); // as pg_dump wrote the names
  } catch (error) {
    if (!isOperatingError(error) || error.sqlState !== QUERY_CANCELED || signal.aborted) throw error;
    throw new OperatingError("lock_timeout", `tables of extensions could not be locked: ${messageOf(error)}`, {
      hint: "Somebody holds a lock on one of them: cairn doctor names them. Try again later or raise --lock-wait-timeout.",
      cause: error,
    });
  }
  if (limit !== undefined) await holder.query("SET statement_timeout TO 0", { signal });
}

/** Not foreign tables, which cannot be locked. */
function tablesQuery(oids: readonly number[]): string {
  return `
SELECT c.oid FROM pg_catalog.pg_class AS c
 WHERE c.oid = ANY (ARRAY[${oids.join(",")}]::pg_catalog.oid[]) AND c.relkind = 'r'`;
}
