// Names that hold whatever PostgreSQL allows, and databases that hold next to nothing, through backup, list, show, export
// and restore with the command itself: terminal-safe output, equal databases at the end.

import { spawnSync } from "node:child_process";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { quoteIdentifier, quoteLiteral, server } from "../support/servers.ts";
import type { TestServer } from "../support/servers.ts";
import { expectEqual, FaultBench } from "./support.ts";

let pg: TestServer;
let bench: FaultBench;

beforeAll(async () => {
  pg = await server(18);
  bench = await FaultBench.create();
});

afterAll(async () => bench?.[Symbol.asyncDispose]());

/** Everything that a terminal would obey, but line ends and tabs. */
const unsafe = /(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}]|[\u202a-\u202e\u2066-\u2069\u200e\u200f]/u;

const escape = "\u001b]0;owned\u0007\u001b[2J";
const hostile = {
  quotes: `it's "quoted" \`and\` \\ slashed; DROP TABLE x; --`,
  lines: "first\nsecond\r\nthird\ttab",
  dollars: "$$ $1 ${HOME} $(id) %s %I",
  wide: "🏔️ Wegzeichen ünïcödé 石",
  escapes: `red ${escape}`,
  bidi: "abc\u202edcba",
  longest: "x".repeat(59) + "🏔", // 63 bytes
} as const;

/** One database with tables, a schema, sequence and function of that name. */
async function makeDatabase(name: string): Promise<AsyncDisposable & { readonly uri: string; readonly name: string }> {
  const database = await pg.createDatabase(name);
  const id = quoteIdentifier(name);
  await database.psql(`
    CREATE SCHEMA ${id};
    CREATE TABLE ${id}.${id} (${id} int PRIMARY KEY, "other" text DEFAULT ${quoteLiteral(name)});
    INSERT INTO ${id}.${id} SELECT i, ${quoteLiteral(name)} || i FROM generate_series(1, 100) AS i;
    CREATE TABLE public.${id} (a int REFERENCES ${id}.${id});
    INSERT INTO public.${id} VALUES (1), (NULL);
    CREATE SEQUENCE ${id}.s START 42;
    COMMENT ON TABLE ${id}.${id} IS ${quoteLiteral(name)};
    DO $role$ BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${quoteLiteral(name)}) THEN CREATE ROLE ${id}; END IF;
    END $role$;
    ALTER TABLE ${id}.${id} OWNER TO ${id};
    GRANT SELECT ON public.${id} TO ${id};
    VACUUM ANALYZE;`);
  return database;
}

async function dropRole(name: string): Promise<void> {
  await pg.psql("postgres", `DROP ROLE IF EXISTS ${quoteIdentifier(name)}`);
}

describe("hostile names", () => {
  test.each(Object.entries(hostile))("%s: backup, list, show, restore of all and of one table", async (kind, name) => {
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(63);
    {
      await using database = await makeDatabase(name);
      // A lineage's name has no control characters: refused with a sentence.
      const mayBeLineage = !/\p{Cc}/u.test(name);
      if (!mayBeLineage) {
        const refused = await bench.run(["backup", database.uri, "--lineage", name]);
        expect([refused.status, refused.errors]).toEqual([2, expect.stringContaining("lineage")]);
      }
      const lineage = mayBeLineage ? name : `lineage of ${kind}`;
      const words = ["backup", database.uri, "--lineage", lineage, "--tag", `${kind}=${name}`];
      const taken = await bench.succeeds(words);
      const texts = [taken.output + taken.errors];
      const { restorePoints } = await bench.list();
      const point = restorePoints.find((one) => one.lineage === lineage)!;
      expect(point).toMatchObject({ databaseName: name, tags: { [kind]: name } });
      expect(await bench.verify(`${lineage}@latest`)).toMatchObject({ restorePointId: point.id, isIntact: true });
      for (const shownWords of [["list"], ["show", point.id]]) {
        const { output, errors } = await bench.succeeds(shownWords);
        expect(output).toContain(point.id);
        texts.push(output, errors);
      }

      await using target = await pg.createDatabase();
      const restored = await bench.succeeds(["restore", point.id, "--to", target.uri]);
      texts.push(restored.output, restored.errors);
      await expectEqual({ server: pg, name }, { server: pg, name: target.name });

      const qualified = `${quoteIdentifier(name)}.${quoteIdentifier(name)}`;
      const scratch = (
        await bench.succeeds(["restore", point.id, "--to", pg.uri("postgres"), "-t", qualified, "--json"])
      ).json();
      try {
        expect(scratch).toMatchObject({ isComplete: true, isScratch: true });
        expect(await pg.psql(scratch.database, `SELECT count(*) FROM ${qualified}`)).toBe("100");
      } finally {
        await pg.dropDatabase(scratch.database);
      }
      for (const text of texts) expect(text).not.toMatch(unsafe);
    }
    await dropRole(name);
  });

  test("a restore with --create makes the database under its own name", async () => {
    const name = hostile.quotes;
    {
      await using database = await makeDatabase(name);
      await bench.succeeds(["backup", database.uri, "--lineage", "create"]);
    }
    await bench.succeeds(["restore", "create@latest", "--to", pg.uri("postgres"), "--create"]);
    const id = quoteIdentifier(name);
    expect(await pg.psql(name, `SELECT count(*) FROM ${id}.${id}`)).toBe("100");
    await pg.dropDatabase(name);
    await dropRole(name);
  });
});

describe("odd databases", () => {
  test("an empty database backs up, verifies, exports and restores", async () => {
    await using source = await pg.createDatabase();
    const receipt = await bench.backup(source.uri, ["--lineage", "empty"]);
    expect(receipt).toMatchObject({ tableCount: 0, rowCount: 0 });
    expect(await bench.verify(receipt.id)).toMatchObject({ isIntact: true });
    expect((await bench.succeeds(["show", receipt.id])).output).toContain("tables");
    await bench.succeeds(["export", receipt.id, "--file", bench.file("empty.dump")]);
    const listed = spawnSync(pg.tools.pgRestore, ["--list", bench.file("empty.dump")], { encoding: "utf8" });
    expect([listed.status, listed.stderr]).toEqual([0, ""]);
    await using target = await pg.createDatabase();
    await bench.succeeds(["restore", receipt.id, "--to", target.uri]);
    await expectEqual(source, { server: pg, name: target.name });
  });

  test("tables without columns keep their count of rows", async () => {
    await using source = await pg.createDatabase();
    await source.psql(`
      CREATE TABLE nothing ();
      INSERT INTO nothing SELECT FROM generate_series(1, 1234);
      CREATE TABLE nothing_and_empty ();
      CREATE TABLE dropped (a int);
      INSERT INTO dropped SELECT generate_series(1, 10);
      ALTER TABLE dropped DROP COLUMN a;
      VACUUM ANALYZE;`);
    const receipt = await bench.backup(source.uri, ["--lineage", "columns"]);
    expect(receipt.rowCount).toBe(1244);
    await using target = await pg.createDatabase();
    const report = (await bench.succeeds(["restore", receipt.id, "--to", target.uri, "--json"])).json();
    expect(report).toMatchObject({ isComplete: true, rowCount: 1244 });
    expect(await target.psql("SELECT count(*) FROM nothing")).toBe("1234");
    expect(await target.psql("SELECT count(*) FROM dropped")).toBe("10");
  });

  test("bytes of an SQL_ASCII database that are no UTF-8 come back as they were", async () => {
    await using source = await pg.createDatabase(undefined, { encoding: "SQL_ASCII", locale: "C" });
    await source.psql(
      Buffer.from(
        `CREATE TABLE "caf\xe9" (text text);
         INSERT INTO "caf\xe9" VALUES ('\xff\xfe bytes \x80'), ('plain'), (E'\\\\x');
         COMMENT ON TABLE "caf\xe9" IS '\xfc';`,
        "latin1",
      ),
    );
    const receipt = await bench.backup(source.uri, ["--lineage", "bytes"]);
    expect(receipt.rowCount).toBe(3);
    const texts = await Promise.all([["list"], ["show", receipt.id]].map((words) => bench.succeeds(words)));
    for (const { output } of texts) expect(output).not.toMatch(unsafe);
    await using target = await pg.createDatabase(undefined, { encoding: "SQL_ASCII", locale: "C" });
    await bench.succeeds(["restore", receipt.id, "--to", target.uri]);
    const facts = `
      SELECT string_agg(encode(text::bytea, 'hex'), ',' ORDER BY text) FROM (SELECT replace(text, E'\\\\', '!') AS text
        FROM "caf\xe9") AS rows`;
    const query = Buffer.from(facts, "latin1");
    expect(await target.psql(query)).toBe(await source.psql(query));
    expect(await target.psql(query)).toContain("fffe");
  });
});
