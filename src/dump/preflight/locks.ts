// What stands in the way of pg_dump's ACCESS SHARE locks: ACCESS EXCLUSIVE locks held or queued on the tables, prepared
// transactions that nobody ends, and the size of the server's lock table. Other people's queries are never shown.

import { quoteLiteral } from "../../postgres/index.ts";
import { timeText, type Ask } from "./check.ts";
import type { Finding } from "./finding.ts";
import { countOf, displayName, displayPart, joinSentences } from "./finding.ts";
import { wantedOids } from "./privileges.ts";

/** Locks reported one by one. */
const LOCK_FINDING_COUNT_MAX = 20;
/** Transactions younger than this are nobody's business. */
const LONG_TRANSACTION_MINUTES = 30;
/** Locks that pg_dump takes on the catalog, and a little more. */
const CATALOG_LOCK_COUNT = 200;

/** ACCESS EXCLUSIVE locks on the tables, held or waited for. */
export async function checkLocks(
  ask: Ask,
  tableOids: readonly number[],
  lockWaitTimeout: string | null,
): Promise<Finding[]> {
  if (tableOids.length === 0) return [];
  const rows = await ask(`
SELECT n.nspname, c.relname, l.granted, l.pid, a.usename, a.application_name,
       ${timeText("a.xact_start")}, p.gid, ${timeText("p.prepared")},
       (SELECT string_agg(DISTINCT b::text, ', ') FROM unnest(CASE WHEN l.granted OR l.pid IS NULL THEN '{}'::int[]
          ELSE pg_blocking_pids(l.pid) END) AS b)
  FROM ${wantedOids(tableOids)} JOIN pg_locks l ON l.relation = wanted.oid
  JOIN pg_class c ON c.oid = wanted.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
  LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid'
                      AND x.virtualtransaction = l.virtualtransaction
  LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
 WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.pid IS DISTINCT FROM pg_backend_pid()
 ORDER BY l.granted DESC, 1, 2 LIMIT ${LOCK_FINDING_COUNT_MAX}`);
  return rows.map((row) => lockFinding(row, lockWaitTimeout));
}

function lockFinding(row: readonly (string | null)[], lockWaitTimeout: string | null): Finding {
  const [schema, name, granted, pid, user, application, since, gid, prepared, blockers] = row;
  const table = displayName({ schema: schema!, name: name! });
  const isPrepared = pid === null;
  const holder = isPrepared
    ? `prepared transaction ${displayPart(gid ?? "unknown")}, prepared at ${prepared ?? "an unknown time"}`
    : describeSession({ pid, user, application, since });
  const waits =
    lockWaitTimeout === null
      ? "A backup waits for it without a limit; --lock-wait-timeout sets one."
      : `A backup waits for it up to --lock-wait-timeout (${lockWaitTimeout}).`;
  const queued = blockers ? `It waits for process ${blockers}.` : undefined;
  return {
    severity: "warning",
    code: granted === "t" ? "table-locked" : "lock-queued",
    message:
      granted === "t"
        ? `table ${table} is locked ACCESS EXCLUSIVE by ${holder}`
        : `an ACCESS EXCLUSIVE lock on table ${table} is waited for by ${holder}`,
    detail: joinSentences(queued, waits),
    hint: isPrepared
      ? `End the prepared transaction: COMMIT PREPARED or ROLLBACK PREPARED ${quoteLiteral(gid ?? "")};`
      : `Wait until it ends, or end it: SELECT pg_terminate_backend(${pid});`,
  };
}

interface OtherSession {
  readonly pid: string | null | undefined;
  readonly user: string | null | undefined;
  readonly application: string | null | undefined;
  readonly since: string | null | undefined;
}

function describeSession({ pid, user, application, since }: OtherSession): string {
  const who = user ? ` of role ${displayPart(user)}` : "";
  const what = application ? `, application ${JSON.stringify(application)}` : "";
  return `process ${pid}${who}${what}, in a transaction since ${since ?? "an unknown time"}`;
}

/** Transactions open for long, and prepared ones. */
export async function checkLongTransactions(ask: Ask, isDeferrable: boolean): Promise<Finding[]> {
  const rows = await ask(`
SELECT pid, usename, application_name, ${timeText("xact_start")} FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
   AND xact_start < now() - interval '${LONG_TRANSACTION_MINUTES} minutes' ORDER BY xact_start LIMIT 5`);
  const findings: Finding[] = rows.map(([pid, user, application, since]) => ({
    severity: isDeferrable ? "warning" : "info",
    code: "long-transaction",
    message: `a transaction is open for long: ${describeSession({ pid, user, application, since })}`,
    detail: isDeferrable ? "A backup with --serializable-deferrable may wait for it." : undefined,
    hint: `If it was forgotten, end it: SELECT pg_terminate_backend(${pid});`,
  }));
  return [...findings, ...(await checkPreparedTransactions(ask))];
}

async function checkPreparedTransactions(ask: Ask): Promise<Finding[]> {
  const rows = await ask(`
SELECT gid, owner, ${timeText("prepared")}, prepared < now() - interval '${LONG_TRANSACTION_MINUTES} minutes'
  FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared LIMIT 5`);
  return rows.map(([gid, owner, prepared, isOld]) => ({
    severity: isOld === "t" ? "warning" : "info",
    code: "prepared-transaction",
    message: `transaction ${displayPart(gid!)} of role ${displayPart(owner!)} is prepared since ${prepared}`,
    detail: "Its locks stay and its rows are not in a backup until it is committed.",
    hint: `End it: COMMIT PREPARED or ROLLBACK PREPARED ${quoteLiteral(gid!)};`,
  }));
}

/** The lock table's slots against the tables to be locked. What the server guarantees; it often has half as many more. */
export async function checkLockSlots(ask: Ask, tableCount: number): Promise<Finding[]> {
  const rows = await ask(`
SELECT current_setting('max_locks_per_transaction')::bigint,
       current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint,
       (SELECT count(DISTINCT (locktype, database, relation, page, tuple, virtualxid, transactionid::text, classid, objid, objsubid))
          FROM pg_locks WHERE NOT fastpath)`);
  const [perTransaction, transactionCount, usedCount] = (rows[0] ?? []).map(Number);
  if (perTransaction === undefined || transactionCount === undefined || usedCount === undefined) return [];
  const freeCount = Math.max(0, perTransaction * transactionCount - usedCount);
  const neededCount = tableCount + CATALOG_LOCK_COUNT;
  if (neededCount <= freeCount) return [];
  const better = Math.ceil(((neededCount + usedCount) * 1.25) / transactionCount / 64) * 64;
  return [
    {
      severity: "warning",
      code: "lock-slots",
      message:
        `the server's lock table has ${countOf(freeCount, "free slot")} for sure, and a backup ` +
        `locks ${countOf(tableCount, "table")}`,
      detail:
        `Slots: max_locks_per_transaction (${perTransaction}) × (max_connections + max_prepared_transactions) ` +
        `(${transactionCount}). The server has some more in reserve; without them pg_dump ends with "out of shared memory".`,
      hint: "Run the statement as a superuser and restart the server, or back up schema by schema with -n.",
      statements: [`ALTER SYSTEM SET max_locks_per_transaction = ${better};`],
    },
  ];
}
