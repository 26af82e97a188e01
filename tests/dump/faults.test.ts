// `cairn dump` when something goes wrong, on a real server: each fault ends it with an error that names its cause, or is
// got around with every row; nothing is left behind, neither a file nor a session.

import { execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { Client } from "pg";

import type { OperationEvent } from "../../src/operations/operation.ts";
import { clientTools, ownServer, runTool, server, type TestDatabase, type TestServer } from "../support/servers.ts";
import { dump, failureOf, firstDifference, restoreText, testFolder, type TestFolder } from "./run-dump.ts";
import {
  BIG_ROW_COUNT,
  BIG_TABLE,
  expectNoSessions,
  runSqlNow,
  untilExclusiveIsQueued,
  waitUntil,
} from "./trial-database.ts";

const isFull = process.env["CAIRN_TEST_MATRIX"] === "full";

let pg: TestServer;
let big: TestDatabase;
let folder: TestFolder;

beforeAll(async () => {
  pg = await server(18);
  big = await pg.createDatabase();
  await big.psql(BIG_TABLE);
});
afterAll(async () => {
  await big[Symbol.asyncDispose]();
});

async function inFolder(work: () => Promise<void>): Promise<void> {
  await using made = await testFolder();
  folder = made;
  await work();
}

/** Calls `once` at the first event that fits. */
function atFirst(fits: (event: OperationEvent) => boolean, once: () => void): (event: OperationEvent) => void {
  let isDone = false;
  return (event) => {
    if (isDone || !fits(event)) return;
    isDone = true;
    once();
  };
}

const isReading = (event: OperationEvent): boolean => event.type === "phase" && event.phase === "read";
const isSegmentDone = (event: OperationEvent): boolean => event.type === "segment-done";

describe("a source that cannot be reached", () => {
  test.each([
    ["a wrong port", (uri: string) => uri.replace(/:\d+\//, ":1/"), "connection_failed", /127\.0\.0\.1/],
    [
      "an unknown host",
      (uri: string) => uri.replace("127.0.0.1", "no-such-host.invalid"),
      "connection_failed",
      /no-such-host/,
    ],
    [
      "an unknown database",
      (uri: string) => uri.replace(/\/\w+$/, "/no_such_database"),
      "connection_failed",
      /no_such_database/,
    ],
    [
      "an unknown role",
      (uri: string) => uri.replace("postgres@", "no_such_role@"),
      "connection_failed",
      /no_such_role/,
    ],
  ])("cairn dump names %s", (_what, change, code, text) =>
    inFolder(async () => {
      const error = await failureOf(dump({ source: change(big.uri), file: folder.file("a") }));
      expect(error.code).toBe(code);
      expect(error.message).toMatch(text);
      expect(await folder.names()).toEqual([]);
    }),
  );

  test("cairn dump names a wrong password, and does not show it", () =>
    inFolder(async () => {
      await using own = await ownServer(18, {
        settings: { password_encryption: "scram-sha-256" },
        hostBasedAuthentication: "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
      });
      const source = `postgresql://postgres:s3cr3t-canary@127.0.0.1:${own.port}/postgres`;
      const error = await failureOf(dump({ source, file: folder.file("a") }));
      expect(error.code).toBe("connection_failed");
      expect(error.message).toMatch(/password authentication failed/);
      expect(JSON.stringify([error.message, error.detail, error.hint])).not.toContain("canary");
      expect(await folder.names()).toEqual([]);
    }));
});

test("cairn dump names the table that may not be read", () =>
  inFolder(async () => {
    await using database = await pg.createDatabase();
    const role = `limited_${database.name}`;
    await database.psql(`CREATE TABLE open_table (a int); CREATE TABLE closed_table (a int);
      CREATE ROLE ${role} LOGIN; GRANT SELECT ON open_table TO ${role}`);
    try {
      const source = pg.uri(database.name, { user: role });
      const error = await failureOf(dump({ source, file: folder.file("a") }));
      expect(error.code).toBe("preflight_failed");
      expect(error.detail).toMatch(/GRANT SELECT ON .*closed_table/);
      expect(await folder.names()).toEqual([]);
      const receipt = await dump({ source, file: folder.file("b"), settings: { selection: ["-t", "open_table"] } });
      expect(receipt.tables.map(({ name }) => name)).toEqual(["public.open_table"]);
    } finally {
      await database.psql(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  }));

describe("locks", () => {
  async function locker(database: TestDatabase): Promise<Client & AsyncDisposable> {
    const client = new Client({ connectionString: database.uri });
    await client.connect();
    return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
  }

  test("cairn dump --lock-wait-timeout ends with lock_timeout and the table's name", () =>
    inFolder(async () => {
      await using database = await pg.createDatabase();
      await database.psql("CREATE TABLE held (a int)");
      await using holder = await locker(database);
      await holder.query("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE");
      for (const pgDump of [null, "bundled"]) {
        const selection = ["--lock-wait-timeout=300"];
        const error = await failureOf(
          dump({ source: database.uri, file: folder.file("a"), settings: { selection, pgDump } }),
        );
        expect(error.code).toBe("lock_timeout");
        expect(`${error.message}\n${error.detail}`).toContain("held");
      }
      expect(await folder.names()).toEqual([]);
      await expectNoSessions(database);
    }));

  test("cairn dump reads every row when an ALTER TABLE is queued behind its lock", () =>
    inFolder(async () => {
      await using database = await pg.createDatabase();
      await database.psql(`${BIG_TABLE} CREATE TABLE other AS SELECT * FROM big LIMIT 10`);
      let altered: Promise<number | null> = Promise.resolve(null);
      const onEvent = atFirst(isReading, () => {
        const child = spawn(pg.tools.psql, [
          "-X",
          "-d",
          database.uri,
          "-c",
          "ALTER TABLE big ADD COLUMN late int DEFAULT 1",
        ]);
        altered = new Promise((resolve) => child.on("close", resolve));
        runSqlNow(database, untilExclusiveIsQueued("big"));
      });
      const receipt = await dump({ source: database.uri, file: folder.file("a"), settings: { jobs: 4 }, onEvent });
      expect(await altered).toBe(0);
      expect(receipt.rowCount).toBe(BIG_ROW_COUNT + 10);
      const text = (await restoreText(pg.tools.pgRestore, folder.file("a"))).toString("latin1");
      expect(text).not.toContain("late");
      const ids = [...text.matchAll(/^(\d+)\t[0-9a-f]{992}$/gm)].map((match) => Number(match[1]));
      expect(ids.length).toBe(BIG_ROW_COUNT + 10);
      expect(new Set(ids).size).toBe(BIG_ROW_COUNT);
    }));

  test("cairn dump holds locks on the tables of extensions too, which pg_dump takes by its COPY only", () =>
    inFolder(async () => {
      await using database = await pg.createDatabase();
      await database.psql("CREATE EXTENSION torture_ext; INSERT INTO torture_ext.everything VALUES (1, 'one')");
      let locked = "";
      const onEvent = atFirst(isReading, () => {
        locked = runSqlNow(
          database,
          `SELECT string_agg(relation::regclass::text, ' ' ORDER BY relation) FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE mode = 'AccessShareLock' AND relation IN ('torture_ext.everything'::regclass, 'torture_ext.settings'::regclass, 'torture_ext.hidden'::regclass)
              AND application_name = 'cairn' AND state = 'idle in transaction'`,
        );
      });
      await dump({ source: database.uri, file: folder.file("a"), onEvent });
      expect(locked.trim()).toBe("torture_ext.settings torture_ext.everything");
      const text = (await restoreText(pg.tools.pgRestore, folder.file("a"))).toString();
      expect(text).toContain("\n1\tone\n");
    }));

  test("cairn dump waits for a table of an extension as long as --lock-wait-timeout says", () =>
    inFolder(async () => {
      await using database = await pg.createDatabase();
      // Without an index, for which pg_dump itself would wait without a limit.
      await database.psql(`
        CREATE EXTENSION torture_ext; CREATE TABLE torture_ext.plain (i int); ALTER EXTENSION torture_ext ADD TABLE torture_ext.plain;
        UPDATE pg_extension SET extconfig = extconfig || 'torture_ext.plain'::regclass::oid, extcondition = extcondition || ''::text
         WHERE extname = 'torture_ext'`);
      await using held = await locker(database);
      await held.query("BEGIN; LOCK TABLE torture_ext.plain IN ACCESS EXCLUSIVE MODE");
      const settings = { selection: ["--lock-wait-timeout=500ms"] };
      const error = await failureOf(dump({ source: database.uri, file: folder.file("a"), settings }));
      expect(error.code).toBe("lock_timeout");
      expect(await folder.names()).toEqual([]);
    }));

  test.each([
    ["TRUNCATE", "BEGIN; TRUNCATE z; INSERT INTO z VALUES (101), (102)", null, ["101", "102"]],
    ["ALTER COLUMN TYPE", "BEGIN; ALTER TABLE z ALTER a TYPE bigint USING a + 200", null, ["201", "202", "203"]],
    ["DROP and CREATE", "BEGIN; DROP TABLE z; CREATE TABLE z (a int); INSERT INTO z VALUES (7)", null, ["7"]],
    [
      "a swap by RENAME",
      "BEGIN; ALTER TABLE z RENAME TO y; CREATE TABLE x AS SELECT a + 300 AS a FROM y; ALTER TABLE x RENAME TO z",
      null,
      ["301", "302", "303"],
    ],
    [
      "a swap by SET SCHEMA",
      "BEGIN; CREATE SCHEMA aside; ALTER TABLE z SET SCHEMA aside; CREATE TABLE z AS SELECT 8 AS a",
      null,
      ["8"],
    ],
    ["VACUUM FULL", "BEGIN; LOCK TABLE z IN ACCESS SHARE MODE", "VACUUM FULL z", ["1", "2", "3"]],
  ])("cairn dump takes a new snapshot after %s between snapshot and lock", (_what, before, queued, rows) =>
    inFolder(async () => {
      await using database = await pg.createDatabase();
      await database.psql("CREATE TABLE z (a int); INSERT INTO z VALUES (1), (2), (3)");
      await using first = await locker(database);
      await first.query(before);
      await using second = await locker(database);
      const behind = queued === null ? null : second.query(queued);
      if (behind !== null)
        await waitUntil(database, "EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock')");
      const running = dump({ source: database.uri, file: folder.file("a") });
      await waitUntil(database, "EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock')");
      await first.query("COMMIT");
      await Promise.all([behind, running]);
      const text = (await restoreText(pg.tools.pgRestore, folder.file("a"))).toString();
      expect(/COPY public\.z \(a\) FROM stdin;\n([\s\S]*?)\\\.\n/.exec(text)?.[1]?.trim().split("\n")).toEqual(rows);
    }),
  );
});

describe("a server that ends sessions", () => {
  const ours = "datname = current_database() AND application_name";

  test.each([
    [
      "a reader",
      `${ours} = 'cairn reader' AND state <> 'idle in transaction (aborted)'`,
      // A reader between two tasks is ended without one.
      /could not read (table "public"."big"|data)/,
    ],
    ["the holder", `${ours} = 'cairn' AND state = 'idle in transaction'`, /session that holds the snapshot was lost/],
  ])("cairn dump fails when %s is ended", (_who, condition, text) =>
    inFolder(async () => {
      const onEvent = atFirst(isSegmentDone, () => {
        const killed = runSqlNow(
          big,
          `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE ${condition}`,
        );
        expect(Number(killed)).toBeGreaterThan(0);
      });
      const error = await failureOf(dump({ source: big.uri, file: folder.file("a"), onEvent }));
      expect(error.code).toBe("connection_lost");
      expect(error.retryable).toBe(true);
      expect(error.message).toMatch(text);
      expect(await folder.names()).toEqual([]);
      await expectNoSessions(big);
    }),
  );
});

describe("cancelled", () => {
  test("cairn dump leaves no file and no session when cancelled during the read", () =>
    inFolder(async () => {
      const controller = new AbortController();
      const reason = new Error("stopped by the test");
      const onEvent = atFirst(isSegmentDone, () => controller.abort(reason));
      await expect(dump({ source: big.uri, file: folder.file("a"), signal: controller.signal, onEvent })).rejects.toBe(
        reason,
      );
      expect(await folder.names()).toEqual([]);
      await expectNoSessions(big);
    }));

  test.each(["installed", "bundled"])(
    "cairn dump leaves no waiting session when cancelled before a lock, with the %s pg_dump",
    (which) =>
      inFolder(async () => {
        await using database = await pg.createDatabase();
        await database.psql("CREATE TABLE held (a int)");
        const client = new Client({ connectionString: database.uri });
        await client.connect();
        await client.query("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE");
        const controller = new AbortController();
        const reason = new Error("stopped by the test");
        const pgDump = which === "bundled" ? which : pg.tools.pgDump;
        const running = dump({
          source: database.uri,
          file: folder.file("a"),
          signal: controller.signal,
          settings: { pgDump },
        });
        running.catch(() => {});
        await waitUntil(database, "EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock')");
        controller.abort(reason);
        await expect(running).rejects.toBe(reason);
        await expectNoSessions(database); // while the lock is still held
        await client.end();
        expect(await folder.names()).toEqual([]);
      }),
  );
});

describe("the file", () => {
  test("cairn dump does not replace a file unless told so, not even one that appears meanwhile", () =>
    inFolder(async () => {
      await using database = await pg.createDatabase();
      const file = folder.file("a");
      const onEvent = atFirst(isReading, () => writeFileSync(file, "mine"));
      const error = await failureOf(dump({ source: database.uri, file, onEvent }));
      expect(error.message).toContain(file);
      expect(readFileSync(file, "utf8")).toBe("mine");
      expect((await failureOf(dump({ source: database.uri, file }))).code).toBe("usage");
      expect(await folder.names()).toEqual(["a"]);
      await dump({ source: database.uri, file, settings: { overwrite: true } });
      expect(readFileSync(file).subarray(0, 5).toString()).toBe("PGDMP");
      expect(await folder.names()).toEqual(["a", "a.receipt.json"]);
    }));

  test("cairn dump leaves nothing when the disk is full", (context) =>
    inFolder(async () => {
      const disk = folder.file("disk");
      await mkdir(disk);
      try {
        execFileSync("mount", ["-t", "tmpfs", "-o", "size=32m", "tmpfs", disk], { stdio: "ignore" });
      } catch {
        context.skip("mounting a small file system is not allowed here: the disk-full test of dump did not run");
      }
      try {
        await using database = await pg.createDatabase(); // small on the server, large as text: the check of free space passes
        await database.psql("CREATE TABLE t AS SELECT repeat('x', 1000000) AS t FROM generate_series(1, 80)");
        const error = await failureOf(dump({ source: database.uri, file: `${disk}/a` }));
        expect(error.code).toBe("no_space");
        expect(execFileSync("ls", ["-A", disk], { encoding: "utf8" })).toBe("");
        const early = await failureOf(dump({ source: big.uri, file: `${disk}/a` }));
        expect(early.code).toBe("no_space");
        expect(early.message).toMatch(/not enough free space/);
        await expectNoSessions(database);
      } finally {
        execFileSync("umount", [disk]);
      }
    }));
});

describe.each(["installed", "bundled"])("odd databases, with the %s pg_dump", (which) => {
  async function expectAsPgDump(database: TestDatabase, selection: readonly string[] = []): Promise<Buffer> {
    const { pgDump, pgRestore } = await clientTools(18);
    const settings = { pgDump: which === "bundled" ? which : pgDump, selection, overwrite: true };
    await dump({ source: database.uri, file: folder.file("a"), settings });
    await runTool(pgDump, ["-Fc", "-Z0", "-f", folder.file("b"), ...selection, "-d", database.uri]);
    const [ours, theirs] = [
      await restoreText(pgRestore, folder.file("a")),
      await restoreText(pgRestore, folder.file("b")),
    ];
    const withoutMinor = (text: Buffer): Buffer =>
      Buffer.from(text.toString("latin1").replace(/^-- Dumped by pg_dump version .*$/m, ""), "latin1");
    expect(firstDifference(withoutMinor(ours), withoutMinor(theirs))).toBe("");
    return ours;
  }

  test("cairn dump of an empty database", () =>
    inFolder(async () => {
      await using database = await pg.createDatabase();
      await expectAsPgDump(database);
    }));

  test("cairn dump keeps the bytes of a database without encoding, names too", () =>
    inFolder(async () => {
      await using database = await pg.createDatabase(undefined, { encoding: "SQL_ASCII", locale: "C" });
      await database.psql(
        Buffer.from(
          'CREATE TABLE "b\xff\xfe" ("\x82\xe9" text); INSERT INTO "b\xff\xfe" VALUES (\'\xe9\x80\xfe\')',
          "latin1",
        ),
      );
      expect((await expectAsPgDump(database)).includes(Buffer.from("\xe9\x80\xfe\n", "latin1"))).toBe(true);
    }));

  test("cairn dump of a LATIN1 database, tables without columns, a table with 1,500, hostile names", () =>
    inFolder(async () => {
      await using database = await pg.createDatabase(undefined, { encoding: "LATIN1", locale: "C" });
      const columns = Array.from({ length: 1500 }, (_, index) => `c${index} int`).join(", ");
      await database.psql(`SET client_encoding = 'UTF8';
        CREATE TABLE none (); INSERT INTO none DEFAULT VALUES; INSERT INTO none DEFAULT VALUES;
        CREATE TABLE wide (${columns}); INSERT INTO wide (c0, c1499) VALUES (1, 2);
        CREATE SCHEMA "sché ma"; CREATE TABLE "sché ma"."a ""quoted"" FROM b
new line $$ \\. (x)" ("é (1)" text, " FROM " int); INSERT INTO "sché ma"."a ""quoted"" FROM b
new line $$ \\. (x)" VALUES ('ÿ', 1);`);
      expect((await expectAsPgDump(database)).includes(Buffer.from("\xff\t1\n", "latin1"))).toBe(true);
      expect((await expectAsPgDump(database, ["-E", "UTF8"])).includes(Buffer.from("ÿ\t1\n"))).toBe(true);
    }));
});

test.runIf(isFull)("cairn dump names the row of a value that is too large", () =>
  inFolder(async () => {
    await using database = await pg.createDatabase();
    await database.psql(`CREATE TABLE large (id int, b bytea);
      INSERT INTO large VALUES (1, 'small'), (2, convert_to(repeat('x', 600 << 20), 'SQL_ASCII')), (3, 'small')`);
    const error = await failureOf(dump({ source: database.uri, file: folder.file("a") }));
    expect(error.code).toBe("value_too_large");
    expect(error.message).toBe('could not read table "public"."large": a row at ctid (0,2) is too large to be sent');
    expect(await folder.names()).toEqual([]);
    await expectNoSessions(database);
  }),
);
