// LOCK and COPY go by names, what is stored of a table by its OID. The locks keep tables from being renamed, but nothing
// keeps a schema: ALTER SCHEMA … RENAME waits for no lock on the tables in it, and the same session's next COPY reads the
// table that has the name now. So when all is read, it is asked whether every name has been the planned table's all along.

import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";

import { isOperatingError, OperatingError } from "../base/errors.ts";
import { openSession, type ConnectionSettings, type Session } from "../postgres/index.ts";
import { NAMES_EXPRESSION } from "./catalog-facts.ts";
import type { TablePlan } from "./segment-plan.ts";
import { checkSameServer } from "./snapshot-facts.ts";
import { abortsAfter, READ_STALL_MS } from "./stall-watch.ts";

/** Relations asked for at once. */
const BATCH_RELATION_COUNT = 5_000;

const ATTEMPT_COUNT_MAX = 4;
const ATTEMPT_PAUSE_MS = 2_000;
const TABLES_NAMED_MAX = 5;

/** What was planned, and where to ask. */
export interface PlannedNames {
  /** Of the holder's server. */
  readonly settings: ConnectionSettings;
  /** The holder's snapshot, which only its server knows. */
  readonly exportedName: string;
  readonly tables: readonly TablePlan[];
  /** By OID, as the snapshot shows them. */
  readonly names: ReadonlyMap<number, string>;
}

/**
 * Throws "source_unstable" when a table or its schema has another name than planned. Gives the tables whose schema's row was
 * written meanwhile, the names being the same: by a GRANT or a new owner, mostly; a name that went and came back looks alike.
 */
export async function checkNames(planned: PlannedNames, signal: AbortSignal): Promise<readonly TablePlan[]> {
  if (planned.tables.length === 0) return [];
  const now = await askNames(planned, signal);
  const changed = planned.tables.filter(({ relation: { oid } }) => now.get(oid) !== planned.names.get(oid));
  const isRenamed = ({ relation: { oid } }: TablePlan): boolean => {
    return withoutVersion(now.get(oid)) !== withoutVersion(planned.names.get(oid));
  };
  const other = changed.filter(isRenamed);
  if (other.length > 0) throw renamed(other);
  return changed;
}

/** Names without the version of the schema's row, the second of their words. */
function withoutVersion(names: string | undefined): string {
  return (names ?? "").split(" ").toSpliced(1, 1).join(" ");
}

/** A connection that cannot be had at once must not cost all that was read. */
async function askNames(planned: PlannedNames, signal: AbortSignal): Promise<ReadonlyMap<number, string>> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const limited = AbortSignal.any([signal, abortsAfter(READ_STALL_MS, stalled())]);
      await using session = await openSession(planned.settings, { signal: limited, applicationName: "cairn" });
      await checkSameServer(session, planned.exportedName, limited);
      return await readNames(session, planned, limited);
    } catch (error) {
      signal.throwIfAborted();
      const isPassing = isOperatingError(error, "connection_failed") || isOperatingError(error, "connection_lost");
      if (attempt === ATTEMPT_COUNT_MAX || !isPassing) throw error;
    }
    await delay(ATTEMPT_PAUSE_MS, undefined, { signal });
  }
}

/** Names by OID as they are now. Where one hash of a whole batch is as planned, no single name is sent. */
async function readNames(session: Session, planned: PlannedNames, signal: AbortSignal): Promise<Map<number, string>> {
  const oids = planned.tables.map(({ relation }) => relation.oid).toSorted((a, b) => a - b);
  const names = new Map<number, string>();
  for (let start = 0; start < oids.length; start += BATCH_RELATION_COUNT) {
    const batch = oids.slice(start, start + BATCH_RELATION_COUNT);
    const { value } = await session.query(namesHashQuery(batch), { signal });
    if (value === namesHash(batch, planned.names)) {
      for (const oid of batch) names.set(oid, planned.names.get(oid) ?? "");
      continue;
    }
    const { rows } = await session.query(`SELECT c.oid, ${NAMES_EXPRESSION} ${fromRelations(batch)}`, { signal });
    for (const row of rows) names.set(Number(row[0]), row[1] ?? "");
  }
  return names;
}

/** Asks for namesHash() of the names as they are now. */
export function namesHashQuery(oids: readonly number[]): string {
  const lines = `pg_catalog.string_agg(pg_catalog.concat_ws(' ', c.oid, ${NAMES_EXPRESSION}), ',' ORDER BY c.oid)`;
  const bytes = `pg_catalog.convert_to(${lines}, pg_catalog.getdatabaseencoding())`;
  return `SELECT pg_catalog.encode(pg_catalog.sha256(${bytes}), 'hex') ${fromRelations(oids)}`;
}

/** SHA-256, hex, of relations with their names, which hold no comma: they are hex. OIDs ascending. */
export function namesHash(oids: readonly number[], names: ReadonlyMap<number, string>): string {
  const lines = oids.map((oid) => `${oid} ${names.get(oid)}`);
  return createHash("sha256").update(lines.join(",")).digest("hex");
}

function fromRelations(oids: readonly number[]): string {
  return `
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = ANY (ARRAY[${oids.join(",")}]::pg_catalog.oid[])`;
}

function renamed(tables: readonly TablePlan[]): OperatingError {
  const named = tables
    .slice(0, TABLES_NAMED_MAX)
    .map(({ relation: { namespace, name } }) => `"${namespace}"."${name}"`);
  const more = tables.length > TABLES_NAMED_MAX ? ` and ${tables.length - TABLES_NAMED_MAX} more` : "";
  return new OperatingError(
    "source_unstable",
    `schemas or tables were renamed while they were read: ${named.join(", ")}${more}`,
    {
      detail: "Rows are read by name: what was read may be of other tables.",
      hint: "Start again, at a time when no schema is renamed.",
    },
  );
}

function stalled(): OperatingError {
  return new OperatingError("stalled", "the names of what was read could not be looked at again", {
    hint: "Look at the server's log, and at the network in between.",
    retryable: true,
  });
}
