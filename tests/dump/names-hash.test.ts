// The hash by which names are compared when all is read: the server has to make it as we do, or every name is sent.

import { expect, test } from "vitest";

import { readRelationStates } from "../../src/dump/catalog-facts.ts";
import { namesHash, namesHashQuery } from "../../src/dump/name-check.ts";
import { openSession, resolveConnection } from "../../src/postgres/index.ts";
import { server } from "../support/servers.ts";

const TABLES = `
  CREATE SCHEMA "odd, \u00fc"; CREATE TABLE "odd, \u00fc"."a ""b"" \u00f1" (i int); CREATE TABLE t (i int);
  CREATE SCHEMA other; CREATE TABLE other.t (i int)`;

test.each([13, 18] as const)(
  "namesHash() is what a server %i makes of the same names, and of no others",
  async (major) => {
    await using database = await (await server(major)).createDatabase();
    await database.psql(TABLES);
    const { signal } = new AbortController();
    const caller = { environment: {}, homeDirectory: "/", userName: "postgres" };
    await using session = await openSession(
      await resolveConnection({ source: database.uri, overrides: {}, ...caller }),
    );
    const { rows } = await session.query("SELECT oid FROM pg_class WHERE relkind = 'r' AND oid >= 16384 ORDER BY oid");
    const oids = rows.map(([oid]) => Number(oid));
    const states = await readRelationStates(session, oids, { countsBlocks: false, signal });
    const names = new Map([...states].map(([oid, state]) => [oid, state.names]));
    const hash = namesHash(oids, names);
    const hashNow = async (): Promise<string | null> => (await session.query(namesHashQuery(oids))).value;
    expect(oids).toHaveLength(3);
    expect(await hashNow()).toBe(hash);
    await session.query("ALTER SCHEMA other RENAME TO another; ALTER SCHEMA another RENAME TO other");
    expect(await hashNow()).not.toBe(hash);
  },
);
