// doctor with a repository, and on a database without an encoding.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

import { runInit } from "../../src/operations/init/index.ts";
import { openRepositoryAt } from "../../src/operations/open-repository.ts";
import type { OperationContext, OperationEvent, RepositoryAccess } from "../../src/operations/operation.ts";
import { runSqlNow } from "../dump/trial-database.ts";
import { server } from "../support/servers.ts";
import { codesOf, doctor, found, plainRole } from "./support.ts";

test("doctor opens the repository, and says what is wrong with it", async () => {
  const pg = await server(15);
  const folder = await mkdtemp(join(tmpdir(), "cairn-doctor-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
  const access = (givenPassphrase: string | null, name = "there"): RepositoryAccess => ({
    location: join(folder, name),
    givenPassphrase,
    askPassphrase: () => Promise.reject(new Error("nobody is asked")),
  });
  const context = { signal: new AbortController().signal } as OperationContext;
  await runInit(context, { repository: access("right one"), isEncrypted: true });

  const source = pg.uri("postgres");
  const right = await doctor(source, { repository: access("right one") });
  expect(right.isReady).toBe(true);
  expect(codesOf(right, "ok")).toEqual(expect.arrayContaining(["repository", "repository-space"]));
  const wrong = await doctor(source, { repository: access("wrong one") });
  expect(codesOf(wrong, "blocking")).toEqual(["repository"]);
  expect(JSON.stringify(wrong)).not.toContain("wrong one");
  const missing = await doctor(source, { repository: access("right one", "not-there") });
  expect(codesOf(missing, "blocking")).toEqual(["repository"]);
});

test("doctor says that a backup would be refused while another one of its lineage is at work", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase();
  const folder = await mkdtemp(join(tmpdir(), "cairn-doctor-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
  const repository: RepositoryAccess = {
    location: join(folder, "r"),
    givenPassphrase: null,
    askPassphrase: () => Promise.reject(new Error("nobody is asked")),
  };
  const context = { signal: new AbortController().signal } as OperationContext;
  await runInit(context, { repository, isEncrypted: false });
  await using opened = await openRepositoryAt(repository);
  const lineageName = `${database.name}@127.0.0.1:${pg.port}`;
  {
    await using _other = await opened.startRun({ kind: "backup", lineageName: "another" });
    const report = await doctor(database.uri, { repository });
    expect(report.isReady).toBe(true);
    expect(found(report, "repository-run")[0]!.message).toContain('at work in the repository on lineage "another"');
  }
  await using _run = await opened.startRun({ kind: "backup", lineageName });
  const report = await doctor(database.uri, { repository });
  expect(codesOf(report, "blocking")).toEqual(["lineage-busy"]);
  expect(found(report, "lineage-busy")[0]).toMatchObject({
    message: `another backup of lineage "${lineageName}" is at work`,
    detail: expect.stringContaining(`process ${process.pid} on`) as string,
  });
});

test("doctor does not take a lost connection for a size that may not be asked", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase();
  const folder = await mkdtemp(join(tmpdir(), "cairn-doctor-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
  const repository: RepositoryAccess = {
    location: folder,
    givenPassphrase: null,
    askPassphrase: () => Promise.reject(new Error("nobody is asked")),
  };
  const onEvent = (event: OperationEvent): void => {
    if (event.type !== "phase" || !event.message.includes("looking at repository")) return;
    runSqlNow(
      database,
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'cairn'",
    );
  };
  await expect(doctor(database.uri, { repository }, onEvent)).rejects.toMatchObject({ code: "connection_lost" });
});

test("doctor reads names that are no UTF-8 in an SQL_ASCII database", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase(undefined, { encoding: "SQL_ASCII", locale: "C" });
  await using _ = await plainRole(pg, database.name, "doctor ascii");
  await database.psql(`
    SET client_encoding TO SQL_ASCII;
    DO $$ BEGIN EXECUTE 'CREATE TABLE public."caf' || chr(233) || '" (a int)'; END $$; CREATE TABLE public."tä" (a int)`);
  const report = await doctor(pg.uri(database.name, { user: "doctor ascii" }));
  expect(codesOf(report, "blocking")).toEqual(["table-privilege"]);
  expect(found(report, "table-privilege")[0]!.message).toContain(
    'lacks SELECT on 2 tables: public."café", public."tä"',
  );
  expect(codesOf(report, "info")).toContain("encoding");
  expect(found(report, "unchecked")).toEqual([]);
});
