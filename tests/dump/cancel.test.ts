// A `cairn dump` that is cancelled while the server works on a row and sends nothing: a closed connection alone would
// let the server work on, with the lock and the snapshot.

import { expect, test } from "vitest";

import { server } from "../support/servers.ts";
import { dump, testFolder } from "./run-dump.ts";
import { expectNoSessions, waitUntil } from "./trial-database.ts";

test("what readers wait for ends on the server when cairn dump is cancelled", async () => {
  await using folder = await testFolder();
  const pg = await server(18);
  await using database = await pg.createDatabase();
  const role = `slow_${process.pid}`;
  await database.psql(`
    CREATE ROLE ${role} LOGIN;
    CREATE TABLE slow AS SELECT 1 AS a;
    ALTER TABLE slow ENABLE ROW LEVEL SECURITY;
    CREATE FUNCTION wait() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN true; END';
    CREATE POLICY slowly ON slow USING (wait());
    GRANT SELECT ON slow TO ${role}`);
  try {
    const controller = new AbortController();
    const reason = new Error("stopped by the test");
    const running = dump({
      source: pg.uri(database.name, { user: role }),
      file: folder.file("a"),
      signal: controller.signal,
      settings: { selection: ["--enable-row-security", "-t", "slow"] },
    });
    running.catch(() => {});
    await waitUntil(
      database,
      "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')",
    );
    controller.abort(reason);
    await expect(running).rejects.toBe(reason);
    await expectNoSessions(database);
    expect(await folder.names()).toEqual([]);
  } finally {
    await database.psql(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});
