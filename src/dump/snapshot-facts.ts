// What is recorded of the snapshot that a dump reads, and of the server at that time; and the error when another session
// cannot take it.

import { assert } from "../base/assert.ts";
import { isOperatingError, messageOf, OperatingError } from "../base/errors.ts";
import { valueIfAllowed, type Session } from "../postgres/index.ts";

export interface SnapshotFacts {
  /** Name under which other sessions take it. */
  readonly exportedName: string;
  readonly xmin: bigint;
  readonly xmax: bigint;
  /** An LSN read after the snapshot was there: insert position, or replay position on a standby; null where unreadable. */
  readonly lsn: string | null;
  readonly isStandby: boolean;
  /** The server's clock when the snapshot was taken, ISO 8601. */
  readonly takenAt: string;
  readonly databaseOid: number;
  readonly systemIdentifier: bigint | null;
  readonly serverEncoding: string;
}

// The time is a number: to_char() would need the names of months, which lc_time may give in an encoding that the database's
// has no conversion from.
const HOLDER_QUERY = `
SELECT pg_catalog.pg_export_snapshot(),
       pg_catalog.split_part(s, ':', 1), pg_catalog.split_part(s, ':', 2),
       pg_catalog.pg_is_in_recovery(),
       pg_catalog.floor(1000 * EXTRACT(epoch FROM pg_catalog.transaction_timestamp())),
       (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()),
       pg_catalog.current_setting('server_encoding')
  FROM (SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS s) AS snapshot`;

const LSN_QUERY = `
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_insert_lsn() END`;

const IDENTITY_QUERY = "SELECT system_identifier FROM pg_catalog.pg_control_system()";

const DATABASE_OID_QUERY = "SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";

/** Which database of which server a session is in. */
export async function readDatabaseIdentity(
  session: Session,
  signal: AbortSignal,
): Promise<Pick<SnapshotFacts, "databaseOid" | "systemIdentifier">> {
  const { value } = await session.query(DATABASE_OID_QUERY, { signal });
  return { databaseOid: Number(value), systemIdentifier: await readSystemIdentifier(session, signal) };
}

async function readSystemIdentifier(session: Session, signal: AbortSignal): Promise<bigint | null> {
  const text = await valueIfAllowed(session, IDENTITY_QUERY, signal);
  return text === null ? null : BigInt(text);
}

/** Exports the holder's snapshot and gathers the facts; `second` is an ordinary session of the same database. */
export async function readSnapshotFacts(holder: Session, second: Session, signal: AbortSignal): Promise<SnapshotFacts> {
  const { rows } = await holder.query(HOLDER_QUERY, { signal });
  const row = rows[0];
  assert(row !== undefined && row[0] !== null, "a snapshot can be exported");
  const exportedName = row[0]!;
  await checkSameServer(second, exportedName, signal);
  return {
    exportedName,
    xmin: BigInt(row[1]!),
    xmax: BigInt(row[2]!),
    isStandby: row[3] === "t",
    takenAt: new Date(Number(row[4])).toISOString(),
    databaseOid: Number(row[5]),
    serverEncoding: row[6]!,
    lsn: await valueIfAllowed(second, LSN_QUERY, signal),
    systemIdentifier: await readSystemIdentifier(second, signal),
  };
}

/** A session that cannot take the holder's snapshot; the server's own words are in the detail. */
export function snapshotRefused(cause: unknown): OperatingError {
  return new OperatingError("query_failed", "a second session could not take the snapshot of the first one", {
    detail: `The server said: ${messageOf(cause)}.`,
    hint:
      "Has this address several servers behind it (a load balancer, a proxy)? All sessions of a backup must meet one " +
      "server: name that server itself.",
    cause,
  });
}

/**
 * What another session tells must be of the holder's server, not of another one behind the same address: one that cannot take
 * the snapshot throws, and is left in a failed transaction. The holder has to live still.
 */
export async function checkSameServer(second: Session, exportedName: string, signal: AbortSignal): Promise<void> {
  try {
    await second.query(`${takeSnapshot(exportedName).join("; ")}; ROLLBACK`, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw isOperatingError(error, "connection_lost") ? error : snapshotRefused(error);
  }
}

/** Statements that begin a transaction in an exported snapshot. */
export function takeSnapshot(exportedName: string): [begin: string, take: string] {
  return ["BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", `SET TRANSACTION SNAPSHOT '${exportedName}'`];
}
