// An ALTER TABLE that is queued behind pg_dump's lock while pg_dump still reads the catalog: whoever asks for a lock on
// the table afterwards waits for the ALTER, and that for the end of the dump.

import { spawn } from "node:child_process";
import { once } from "node:events";

import { expect, test } from "vitest";

import { server } from "../support/servers.ts";
import { dump, testFolder } from "./run-dump.ts";

const TABLE_COUNT = 400;
const TIMEOUT_MS = 90_000;

/** Alters the table as soon as a session of ours has locked it. */
const ALTER_WHEN_LOCKED = `
  DO $$ BEGIN FOR i IN 1 .. 6000 LOOP
    IF EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity a USING (pid) WHERE relation = 'altered'::regclass
               AND mode = 'AccessShareLock' AND granted AND a.application_name LIKE 'cairn%') THEN RETURN; END IF;
    PERFORM pg_sleep(0.005); END LOOP; RAISE 'nobody locks it'; END $$;
  ALTER TABLE altered ADD COLUMN b int;`;

test("an ALTER TABLE queued before the tables are measured does not stop cairn dump", async () => {
  await using folder = await testFolder();
  const pg = await server(18);
  await using database = await pg.createDatabase();
  await database.psql(`
    CREATE TABLE altered AS SELECT generate_series(1, 1000) AS a;
    DO $$ BEGIN FOR i IN 1 .. ${TABLE_COUNT} LOOP EXECUTE format('CREATE TABLE t%s (a int PRIMARY KEY)', i); END LOOP; END $$`);
  const alter = spawn(pg.tools.psql, ["-X", "-q", "-d", database.uri, "-v", "ON_ERROR_STOP=1"], {
    env: { PGAPPNAME: "test" },
    stdio: ["pipe", "ignore", "inherit"],
  });
  const altered = once(alter, "exit");
  alter.stdin.end(ALTER_WHEN_LOCKED);
  const receipt = await dump({
    source: database.uri,
    file: folder.file("a"),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  expect(receipt.rowCount).toBe(1000);
  expect(await altered).toEqual([0, null]);
});
