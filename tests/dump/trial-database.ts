// What the fault tests of dump share: a table of many segments, waiting for a condition, and what a server still does
// for a database.

import { execFileSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";

import { expect } from "vitest";

import type { TestDatabase } from "../support/servers.ts";

const CONDITION_TIMEOUT_MS = 60_000;
const POLL_INTERVAL_MS = 20;

export const BIG_ROW_COUNT = 60_000;

/** About 68 MB, 17 segments. */
export const BIG_TABLE = `
  CREATE TABLE big (id int, t text);
  INSERT INTO big SELECT i, repeat(md5(i::text), 31) FROM generate_series(1, ${BIG_ROW_COUNT}) i;`;

/** Waits until the query gives "t". */
export async function waitUntil(database: TestDatabase, condition: string): Promise<void> {
  const end = performance.now() + CONDITION_TIMEOUT_MS;
  while ((await database.psql(`SELECT ${condition}`)) !== "t") {
    if (performance.now() > end) throw new Error(`never became true: ${condition}`);
    await delay(POLL_INTERVAL_MS);
  }
}

/** Runs SQL while this process stands still, so that what it does meanwhile is known; rows as psql -At prints them. */
export function runSqlNow(database: TestDatabase, sql: string): string {
  const args = ["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", database.uri, "-c", sql];
  return execFileSync(database.server.tools.psql, args, { encoding: "utf8", env: { PGAPPNAME: "test" } }).trim();
}

/** SQL that ends when an ACCESS EXCLUSIVE lock on the table is waited for. */
export function untilExclusiveIsQueued(table: string): string {
  return `DO $$ BEGIN FOR i IN 1 .. 3000 LOOP
    IF EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' AND relation = '${table}'::regclass)
    THEN RETURN; END IF; PERFORM pg_sleep(0.02); END LOOP; RAISE 'nobody waits'; END $$`;
}

/** Waits until no session of ours is left in the database. */
export async function expectNoSessions(database: TestDatabase): Promise<void> {
  await waitUntil(
    database,
    `NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'cairn%')`,
  );
  expect(
    await database.psql(
      "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name LIKE 'cairn%' AND a.datname = current_database()",
    ),
  ).toBe("0");
}
