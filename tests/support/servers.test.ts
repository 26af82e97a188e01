import { existsSync } from "node:fs";
import { expect, test } from "vitest";

import { MAJORS, clientTools, ownServer, pgbouncerProgram, runTool, server } from "./servers.ts";

test.each(MAJORS)("server(%i) answers queries and knows the torture extension", async (major) => {
  const pg = await server(major);
  await using database = await pg.createDatabase();
  expect(await database.psql("SHOW server_version_num")).toMatch(new RegExp(`^${major}`));
  expect(await database.psql("SHOW fsync")).toBe("off");
  await database.psql("CREATE EXTENSION torture_ext; CREATE EXTENSION hstore");
  expect(await pg.psql(database.name, "SELECT $$it's$$, :'v'", { variables: { v: "a b" } })).toBe("it's|a b");
});

test("createDatabase() takes odd names, and dropDatabase() drops subscriptions first", async () => {
  const pg = await server(15);
  await using database = await pg.createDatabase(`it's "odd" \\ %41 名`);
  await database.psql("CREATE SUBSCRIPTION test_odd CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)");
  expect(await database.psql("SELECT current_database()")).toBe(database.name);
});

test("psql() stops at the first error and says it", async () => {
  const pg = await server(18);
  await expect(pg.psql("postgres", "SELECT 1; SELECT 1/0; SELECT 2")).rejects.toThrow("division by zero");
});

test("ownServer() can be stopped and started, and leaves nothing", async () => {
  const own = await ownServer(14, { settings: { work_mem: "5MB" } });
  await own.psql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
  await own.stop("immediate");
  await own.start();
  expect(await own.psql("postgres", "SHOW work_mem")).toBe("5MB");
  expect(await own.psql("postgres", "TABLE t")).toBe("1");
  await own[Symbol.asyncDispose]();
  expect(existsSync(own.socketDirectory)).toBe(false);
});

test.each(MAJORS)("clientTools(%i) can dump that server", async (major) => {
  const tools = await clientTools(major);
  expect(tools.major).toBeGreaterThanOrEqual(major);
  expect(await runTool(tools.pgDump, ["--version"])).toMatch(new RegExp(` ${tools.major}\\.`));
});

test("pgbouncerProgram() runs", async () => {
  expect(await runTool(await pgbouncerProgram(), ["--version"])).toContain("PgBouncer");
});
