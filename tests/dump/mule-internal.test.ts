// A database in MULE_INTERNAL, whose text the server cannot turn into UTF-8: dumped byte for byte as the stock pg_dump does
// it, looked at by doctor, backed up, and restored into databases of its own encoding by the stock pg_restore and by us.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

import { runDoctor } from "../../src/operations/doctor/index.ts";
import { openSession, resolveConnection } from "../../src/postgres/index.ts";
import { TestRepository } from "../matrix/support.ts";
import { runTool, server, type TestDatabase, type TestServer } from "../support/servers.ts";
import { dump, firstDifference, restoreText, testFolder } from "./run-dump.ts";

const ENCODING = { encoding: "MULE_INTERNAL", locale: "C" };
const ROW_COUNT = 5000;

// Each script is sent as the bytes of its own encoding, which the server turns into MULE_INTERNAL.
const LATIN = Buffer.from(
  `SET client_encoding TO 'LATIN1';
   CREATE TABLE "café" (id int PRIMARY KEY, "größe" text);
   INSERT INTO "café" SELECT i, 'déjà vu ' || i FROM generate_series(1, ${ROW_COUNT}) i;
   SELECT lo_from_bytea(4711, '\\x00ff');`,
  "latin1",
);
const JAPANESE = String.raw`CREATE TABLE japanese AS
  SELECT i, convert_from('\xc6fccbdc', 'EUC_JP') AS t FROM generate_series(1, 100) i;`;

let pg: TestServer;
let database: TestDatabase;

beforeAll(async () => {
  pg = await server(18);
  database = await pg.createDatabase(undefined, ENCODING);
  await database.psql(LATIN);
  await database.psql(JAPANESE);
});
afterAll(() => database[Symbol.asyncDispose]());

/** All of a database as pg_dump writes it, in its own encoding. */
async function contentOf({ uri }: TestDatabase): Promise<Buffer> {
  const args = ["--restrict-key=x", uri];
  const { stdout } = await promisify(execFile)(pg.tools.pgDump, args, { encoding: "buffer", maxBuffer: 1 << 26 });
  return stdout;
}

test.each(["installed", "bundled"])(
  "cairn dump of a MULE_INTERNAL database gives what pg_dump gives, with the %s one",
  async (which) => {
    await using folder = await testFolder();
    const settings = { pgDump: which === "bundled" ? which : pg.tools.pgDump };
    const receipt = await dump({ source: database.uri, file: folder.file("ours"), settings });
    expect(receipt.rowCount).toBe(ROW_COUNT + 100);
    await runTool(pg.tools.pgDump, ["-Fc", "-f", folder.file("theirs"), database.uri]);
    const [ours, theirs] = await Promise.all(
      ["ours", "theirs"].map((name) => restoreText(pg.tools.pgRestore, folder.file(name))),
    );
    const withoutVersion = (text: Buffer): Buffer =>
      Buffer.from(text.toString("latin1").replace(/^-- Dumped by .*$/m, ""), "latin1");
    expect(firstDifference(withoutVersion(ours!), withoutVersion(theirs!))).toBe("");
    expect(ours!.includes("client_encoding = 'MULE_INTERNAL'")).toBe(true);

    await using copy = await pg.createDatabase(undefined, ENCODING);
    await runTool(pg.tools.pgRestore, ["-d", copy.uri, folder.file("ours")]);
    expect(firstDifference(await contentOf(copy), await contentOf(database))).toBe("");
  },
);

test("cairn backup and cairn restore of a MULE_INTERNAL database give it back", async () => {
  await using repository = await TestRepository.create();
  await repository.backup(database.uri);
  await using copy = await pg.createDatabase(undefined, ENCODING);
  expect(await repository.restore("latest", copy.uri)).toMatchObject({ isComplete: true, entriesFailed: [] });
  expect(firstDifference(await contentOf(copy), await contentOf(database))).toBe("");
});

test("runDoctor() looks at a MULE_INTERNAL database, and names who holds a lock since when", async () => {
  const resolving = { source: database.uri, environment: {}, homeDirectory: "/nonexistent", userName: "postgres" };
  await using holder = await openSession(await resolveConnection(resolving));
  await holder.query("BEGIN; LOCK TABLE japanese IN ACCESS EXCLUSIVE MODE");
  const context = { ...resolving, signal: new AbortController().signal, onEvent: () => {} };
  const settings = { source: database.uri, repository: null, pgDump: null, selection: [] };
  const { findings } = await runDoctor(context, settings);
  expect(findings.filter(({ code }) => code === "unchecked")).toEqual([]);
  const texts = findings.map(({ message, detail }) => `${message} ${detail ?? ""}`);
  expect(texts.join("\n")).toMatch(/in a transaction since \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ/);
});
