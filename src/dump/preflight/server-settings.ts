// Settings of the server and the session that a backup should know of: time limits, standby conflicts, snapshots that
// grow too old.

import { timeText, type Ask } from "./check.ts";
import type { Finding } from "./finding.ts";

const TIME_LIMITS = [
  "statement_timeout",
  "lock_timeout",
  "idle_in_transaction_session_timeout",
  "transaction_timeout",
] as const;

/** Time limits set for the role, database or server; asked outside a check's own SET LOCAL. */
export async function checkTimeLimits(ask: Ask): Promise<Finding[]> {
  const names = TIME_LIMITS.map((name) => `'${name}'`).join(", ");
  const rows = await ask(`
SELECT name, reset_val || coalesce(unit, '') FROM pg_settings WHERE name IN (${names}) AND reset_val <> '0' ORDER BY name`);
  if (rows.length === 0) return [];
  const limits = rows.map(([name, value]) => `${name} = ${value}`).join(", ");
  return [
    {
      severity: "info",
      code: "time-limits",
      message: `time limits are set for this role: ${limits}`,
      detail: "pg_dump and the readers switch them off for their own sessions.",
    },
  ];
}

/** Snapshots that the server may call too old (13 to 16). */
export async function checkOldSnapshotThreshold(ask: Ask, serverMajor: number): Promise<Finding[]> {
  if (serverMajor >= 17) return [];
  const value = (await ask("SELECT current_setting('old_snapshot_threshold', true)"))[0]?.[0];
  if (value === null || value === undefined || value === "-1") return [];
  return [
    {
      severity: "warning",
      code: "old-snapshot-threshold",
      message: `old_snapshot_threshold is ${value}: a backup that takes longer fails with "snapshot too old"`,
      hint: "Switch it off as a superuser and restart the server.",
      statements: ["ALTER SYSTEM SET old_snapshot_threshold = -1;"],
    },
  ];
}

/** What can end a long read on a standby. `unloggedNames`: relations of the backup that a standby cannot read. */
export async function checkStandby(ask: Ask, isDeferrable: boolean): Promise<Finding[]> {
  const rows = await ask(`
SELECT pg_is_in_recovery(), current_setting('hot_standby_feedback'), current_setting('max_standby_streaming_delay'),
       current_setting('max_standby_archive_delay')`);
  const [isStandby, feedback, streamingDelay, archiveDelay] = rows[0] ?? [];
  if (isStandby !== "t") return [];
  const findings: Finding[] = [{ severity: "info", code: "standby", message: "the server is a hot standby" }];
  if (isDeferrable) findings.push(deferrableOnStandby());
  const isEndless = streamingDelay === "-1" && archiveDelay === "-1";
  if (!isEndless) findings.push(conflictFinding(feedback === "on", streamingDelay ?? "?", archiveDelay ?? "?"));
  return [...findings, ...(await checkWalReceiver(ask))];
}

function conflictFinding(hasFeedback: boolean, streamingDelay: string, archiveDelay: string): Finding {
  const delays = `max_standby_streaming_delay = ${streamingDelay}, max_standby_archive_delay = ${archiveDelay}`;
  return {
    severity: hasFeedback ? "info" : "warning",
    code: "standby-conflict",
    message: hasFeedback
      ? `locks replayed on the standby can still end a backup (${delays})`
      : `the standby ends queries that conflict with replay, a long backup among them (hot_standby_feedback = off, ${delays})`,
    hint: hasFeedback
      ? "Raise the delays above the time that a backup takes, or set them to -1."
      : "Switch on hot_standby_feedback on the standby, or raise the delays above the time that a backup takes (-1: no limit).",
    statements: hasFeedback ? undefined : ["ALTER SYSTEM SET hot_standby_feedback = on;", "SELECT pg_reload_conf();"],
  };
}

function deferrableOnStandby(): Finding {
  return {
    severity: "blocking",
    code: "standby-deferrable",
    message: "--serializable-deferrable is not possible on a standby",
    hint: "Leave the option out, or back up the primary.",
  };
}

async function checkWalReceiver(ask: Ask): Promise<Finding[]> {
  const rows = await ask(`
SELECT (SELECT status FROM pg_stat_wal_receiver), ${timeText("pg_last_xact_replay_timestamp()")},
       pg_is_wal_replay_paused()`);
  const [status, replayedAt, isPaused] = rows[0] ?? [];
  if (isPaused === "t") {
    return [replayFinding("replay on the standby is paused", replayedAt, "Resume it: SELECT pg_wal_replay_resume();")];
  }
  if (status !== null && status !== undefined) return [];
  const hint = "If it should be streaming, look at the standby's log and at primary_conninfo.";
  return [replayFinding("the standby is not seen to be streaming from a primary", replayedAt, hint)];
}

function replayFinding(message: string, replayedAt: string | null | undefined, hint: string): Finding {
  return {
    severity: "warning",
    code: "standby-replay",
    message,
    detail: replayedAt ? `The last transaction replayed is of ${replayedAt}; a backup shows that state.` : undefined,
    hint,
  };
}
