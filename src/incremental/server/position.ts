// Where the server is: its last checkpoint, and which history its WAL belongs to. The timeline is taken from where WAL is
// written or received; pg_control_checkpoint() still shows the old one after a promotion, until the next checkpoint.

import type { Session } from "../../postgres/index.ts";
import { parseLsn } from "../rules/lsn.ts";
import type { CheckpointRecord, ServerPosition } from "../types.ts";
import type { Answer } from "./ask.ts";
import { answerOf, ask, textOf } from "./ask.ts";

/** What the backup knows of its snapshot; what it could not read is null. */
export interface SnapshotOfRun {
  readonly xmin: bigint;
  readonly xmax: bigint;
  /** As PostgreSQL prints it; read on another connection after the snapshot existed. */
  readonly lsn: string | null;
  readonly isStandby: boolean;
  readonly databaseOid: number;
  readonly systemIdentifier: bigint | null;
}

const CHECKPOINT_QUERY = `
SELECT timeline_id, redo_lsn - '0/0'::pg_catalog.pg_lsn, next_xid FROM pg_catalog.pg_control_checkpoint()`;

/** The last checkpoint, or restartpoint of a standby. */
export async function readCheckpoint(session: Session, signal: AbortSignal): Promise<Answer<CheckpointRecord>> {
  return answerOf("the last checkpoint", signal, async () => {
    const row = (await ask(session, CHECKPOINT_QUERY, signal))[0]!;
    const [epoch, xid] = textOf(row, 2).split(":");
    return {
      timeline: Number(textOf(row, 0)),
      redoLsn: BigInt(textOf(row, 1)),
      nextXid: (BigInt(epoch!) << 32n) + BigInt(xid!),
    };
  });
}

// pg_walfile_name() fails on a standby, so each branch is asked only where it applies.
const POSITION_QUERY = `
SELECT pg_catalog.pg_is_in_recovery(),
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) END,
       (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver),
       pg_catalog.floor(1000 * EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time())),
       pg_catalog.current_setting('server_version_num')`;

/** Which server, database and history a snapshot belongs to. Ask after the snapshot's LSN was read. */
export async function readPosition(
  session: Session,
  snapshot: SnapshotOfRun,
  signal: AbortSignal,
): Promise<Answer<ServerPosition>> {
  const { systemIdentifier } = snapshot;
  const snapshotLsn = snapshot.lsn === null ? null : parseLsn(snapshot.lsn);
  if (systemIdentifier === null) return unknown("the role may not read the server's system identifier");
  if (snapshotLsn === null) return unknown("the role may not read the server's WAL position");
  const answer = await answerOf("the server's WAL position", signal, () => ask(session, POSITION_QUERY, signal));
  if (answer.kind === "unknown") return answer;
  const row = answer.value[0]!;
  const isStandby = row[0] === "t";
  if (isStandby !== snapshot.isStandby) return unknown("the server was promoted after the snapshot was taken");
  const timeline = isStandby ? Number(row[2] ?? 0) : Number.parseInt(textOf(row, 1), 16);
  if (!(timeline > 0)) {
    return unknown("the standby's timeline is not known: it is not streaming, or the role is not in pg_read_all_stats");
  }
  const value: ServerPosition = {
    systemIdentifier: String(systemIdentifier),
    databaseOid: snapshot.databaseOid,
    timeline,
    hostRole: isStandby ? "standby" : "primary",
    postmasterStartedAt: new Date(Number(textOf(row, 3))).toISOString(),
    serverVersionNum: Number(textOf(row, 4)),
    xmin: snapshot.xmin,
    xmax: snapshot.xmax,
    snapshotLsn,
  };
  return { kind: "known", value };
}

function unknown(reason: string): Answer<never> {
  return { kind: "unknown", reason };
}
