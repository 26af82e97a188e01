// A statement of a restore that the server ends to resolve a deadlock is sent again.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Session } from "../../src/postgres/index.ts";
import type { EntryError } from "../../src/restore/result.ts";
import { RestoreWorker } from "../../src/restore/worker.ts";
import { connector, server, type TestServer } from "./support.ts";
import type { TestDatabase } from "../support/servers.ts";

const signal = new AbortController().signal;
let pg: TestServer;
let database: TestDatabase;

beforeAll(async () => {
  pg = await server(18);
  database = await pg.createDatabase();
  await database.psql("CREATE TABLE first (id int); CREATE TABLE second (id int)");
});
afterAll(() => database[Symbol.asyncDispose]());

async function open(): Promise<Session> {
  return await (
    await connector(pg, database.name)
  )(null, signal);
}

async function backendOf(session: Session): Promise<string | null> {
  return (await session.query("SELECT pg_backend_pid();")).value;
}

async function until(condition: string): Promise<void> {
  while ((await database.psql(`SELECT ${condition}`)) !== "t") await new Promise((resolve) => setTimeout(resolve, 20));
}

/** One connection locks `first`, then `second`; another the other way round. The worker's is the victim. */
async function deadlock(before: string): Promise<{ readonly isDone: boolean; readonly errors: readonly EntryError[] }> {
  const [session, other] = [await open(), await open()];
  try {
    await session.query("SET deadlock_timeout = '10ms';");
    await other.query("SET deadlock_timeout = '1min';");
    const pids = [await backendOf(session), await backendOf(other)];
    await other.query("BEGIN; LOCK TABLE second;");
    if (before !== "") await session.query(before);
    const errors: EntryError[] = [];
    const isBlocked = (index: number): string => `cardinality(pg_blocking_pids(${pids[index]})) > 0`;
    const wait = `WHILE NOT (SELECT ${isBlocked(1)}) LOOP PERFORM pg_sleep(0.01); END LOOP`;
    const once = `IF NOT EXISTS (SELECT FROM first) THEN ${wait}; END IF`;
    const attempt = new RestoreWorker(0, session, signal).attempt(
      `DO $$ BEGIN LOCK TABLE first; ${once}; LOCK TABLE second; INSERT INTO second VALUES (1); END $$;`,
      "definition",
      errors,
    );
    await until(`EXISTS (SELECT FROM pg_locks WHERE pid = ${pids[0]} AND relation = 'first'::regclass AND granted)`);
    await other.query("LOCK TABLE first; INSERT INTO first VALUES (1); COMMIT;");
    return { isDone: await attempt, errors };
  } finally {
    await Promise.all([session.close(), other.close()]);
  }
}

test("the victim of a deadlock is sent again", async () => {
  await database.psql("TRUNCATE first, second");
  expect(await deadlock("")).toEqual({ isDone: true, errors: [] });
  expect(await database.psql("SELECT (SELECT count(*) FROM first), (SELECT count(*) FROM second)")).toBe("1|1");
});

test("inside a transaction it is an error of the entry", async () => {
  await database.psql("TRUNCATE first, second");
  const { isDone, errors } = await deadlock("BEGIN;");
  expect(isDone).toBe(false);
  expect(errors).toMatchObject([{ sqlState: "40P01" }]);
  expect(await database.psql("SELECT (SELECT count(*) FROM first), (SELECT count(*) FROM second)")).toBe("1|0");
});
