// Whether a backup can read only what can have changed since the last one, which WAL summaries tell (17 and later), and what
// to set for it. All of it is information: without summaries everything is read, and only what changed is stored.
// Source: PostgreSQL manual, "WAL Summarization", "CHECKPOINT"; docs/formats/incremental.md.

import { quoteIdentifier } from "../../postgres/index.ts";
import type { Ask } from "./check.ts";
import type { Finding } from "./finding.ts";
import { displayPart, joinSentences } from "./finding.ts";

const SUMMARY_MAJOR_MIN = 17;

/** Summaries kept for less are named: one missed daily backup, and the next reads everything. */
const KEEP_HOURS_MIN = 48;

/** How long a backup waits for the server's next checkpoint. */
const CHECKPOINT_WAIT_SECONDS_MAX = 360;

const QUERY = `
SELECT current_setting('summarize_wal', true), current_setting('fsync'), current_setting('data_checksums'), pg_is_in_recovery(),
       (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_summary_keep_time'), current_setting('wal_summary_keep_time', true),
       (SELECT setting::bigint FROM pg_settings WHERE name = 'checkpoint_timeout'), current_setting('checkpoint_timeout'),
       current_user, pg_has_role(current_user, 'pg_checkpoint', 'USAGE'), pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')`;

interface SummaryFacts {
  readonly isOn: boolean;
  readonly hasFsync: boolean;
  readonly hasChecksums: boolean;
  readonly isStandby: boolean;
  /** 0: kept for ever. */
  readonly keepMinutes: number;
  readonly keepText: string;
  readonly checkpointSeconds: number;
  readonly checkpointText: string;
  readonly roleName: string;
  readonly mayCheckpoint: boolean;
  readonly maySeeReceiver: boolean;
}

/** What incremental reading needs of the server and the role. */
export async function checkWalSummaries(ask: Ask, serverMajor: number): Promise<Finding[]> {
  if (serverMajor < SUMMARY_MAJOR_MIN) return [tooOld(serverMajor)];
  const facts = toFacts((await ask(QUERY))[0] ?? []);
  if (!facts.isOn) return [switchedOff(facts)];
  if (!facts.hasFsync) return [withoutFsync()];
  return [ready(facts), ...keepTime(facts), ...(facts.isStandby ? standbys(facts) : checkpoints(facts))];
}

function toFacts(row: readonly (string | null)[]): SummaryFacts {
  return {
    isOn: row[0] === "on",
    hasFsync: row[1] === "on",
    hasChecksums: row[2] === "on",
    isStandby: row[3] === "t",
    keepMinutes: Number(row[4] ?? 0),
    keepText: row[5] ?? "",
    checkpointSeconds: Number(row[6] ?? 0),
    checkpointText: row[7] ?? "",
    roleName: row[8] ?? "",
    mayCheckpoint: row[9] === "t",
    maySeeReceiver: row[10] === "t",
  };
}

function tooOld(serverMajor: number): Finding {
  return {
    severity: "info",
    code: "wal-summaries",
    message: `PostgreSQL ${serverMajor} does not tell what changed: each backup reads all rows, and stores only what changed`,
    detail: `From PostgreSQL ${SUMMARY_MAJOR_MIN} on, only what can have changed need be read.`,
  };
}

function switchedOff({ isStandby }: SummaryFacts): Finding {
  return {
    severity: "info",
    code: "wal-summaries",
    message: "summarize_wal is off: each backup reads all rows, and stores only what changed",
    detail:
      "With it, a backup reads only those parts of tables that can have changed since the last one: time and load follow the change, not the size.",
    hint: `Switch it on${isStandby ? ", on this standby too" : ""}; that needs no restart. The second backup after that is the first to read less.`,
    statements: ["ALTER SYSTEM SET summarize_wal = on;", "SELECT pg_reload_conf();"],
  };
}

function withoutFsync(): Finding {
  return {
    severity: "info",
    code: "wal-summaries",
    message: "fsync is off: the server may lose changes that it has told of, so each backup reads all rows",
    hint: "Switch it on, unless the data may be lost.",
    statements: ["ALTER SYSTEM SET fsync = on;", "SELECT pg_reload_conf();"],
  };
}

function ready({ keepMinutes, keepText, hasChecksums }: SummaryFacts): Finding {
  return {
    severity: "ok",
    code: "wal-summaries",
    message: "WAL summaries are on: a backup reads only those parts of tables that can have changed since the last one",
    detail: joinSentences(
      keepMinutes === 0 ? undefined : `They are kept for ${keepText} (wal_summary_keep_time).`,
      hasChecksums
        ? "With data checksums, whoever first reads rows that nobody vacuumed writes to their blocks, " +
            "so that the next backup reads these again."
        : undefined,
    ),
    hint: hasChecksums ? "VACUUM a table after loading much into it." : undefined,
  };
}

function keepTime({ keepMinutes, keepText }: SummaryFacts): Finding[] {
  if (keepMinutes === 0 || keepMinutes >= KEEP_HOURS_MIN * 60) return [];
  return [
    {
      severity: "info",
      code: "wal-summaries-kept",
      message: `WAL summaries are kept for ${keepText} only: a backup that comes later than that after the last one reads all rows`,
      hint: "Keep them for longer than the longest time between two backups; they are small.",
      statements: ["ALTER SYSTEM SET wal_summary_keep_time = '10d';", "SELECT pg_reload_conf();"],
    },
  ];
}

function checkpoints(facts: SummaryFacts): Finding[] {
  const { mayCheckpoint, roleName, checkpointSeconds, checkpointText } = facts;
  const isSlow = checkpointSeconds > CHECKPOINT_WAIT_SECONDS_MAX;
  if (mayCheckpoint && !isSlow) return [];
  const slow = `checkpoint_timeout is ${checkpointText}, longer than a backup waits for the next checkpoint`;
  const may = `role ${displayPart(roleName)} may not ask for a checkpoint; a backup can only wait for the next one (checkpoint_timeout = ${checkpointText})`;
  const grant = `GRANT pg_checkpoint TO ${quoteIdentifier(roleName)};`;
  const lower = ["ALTER SYSTEM SET checkpoint_timeout = '5min';", "SELECT pg_reload_conf();"];
  return [
    {
      severity: "info",
      code: "wal-summaries-checkpoint",
      message: isSlow ? slow : may,
      detail: "What changed is known up to a checkpoint only; without one after its snapshot, a backup reads all rows.",
      hint: mayCheckpoint
        ? "Back up with --checkpoint now, or lower checkpoint_timeout."
        : `Grant it and back up with --checkpoint now${isSlow ? ", or lower checkpoint_timeout" : ""}.`,
      statements: [...(mayCheckpoint ? [] : [grant]), ...(isSlow ? lower : [])],
    },
  ];
}

function standbys({ maySeeReceiver, roleName }: SummaryFacts): Finding[] {
  const waits: Finding = {
    severity: "info",
    code: "wal-summaries-checkpoint",
    message: "on a standby, a backup can only wait for the primary's next checkpoint to know what changed",
    hint: "Only the primary's checkpoints count; they come each checkpoint_timeout as long as something is written.",
  };
  if (maySeeReceiver) return [waits];
  return [
    waits,
    {
      severity: "info",
      code: "wal-summaries-timeline",
      message: `role ${displayPart(roleName)} may not see which timeline the standby follows: each backup reads all rows`,
      hint: "Run the statement on the primary.",
      statements: [`GRANT pg_read_all_stats TO ${quoteIdentifier(roleName)};`],
    },
  ];
}
