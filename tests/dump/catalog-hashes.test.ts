// The hashes by which names are compared when all is read, and the relations' states when they are locked: the server has to make
// them as we do, or every row is sent.

import { expect, test } from "vitest";

import { hashFingerprints, haveFingerprints, readRelationStates } from "../../src/dump/catalog-facts.ts";
import { namesHash, namesHashQuery } from "../../src/dump/name-check.ts";
import { openSession, resolveConnection } from "../../src/postgres/index.ts";
import { server } from "../support/servers.ts";

const TABLES = `
  CREATE SCHEMA "odd, \u00fc"; CREATE TABLE "odd, \u00fc"."a ""b"" \u00f1" (i int); CREATE TABLE t (i int);
  CREATE SCHEMA other; CREATE TABLE other.t (i int);
  CREATE TABLE columnless (); CREATE TABLE altered (i int, "j, k" text, l int); ALTER TABLE altered DROP COLUMN l`;

test.each([13, 18] as const)(
  "a server %i makes the same hashes of the same names and states, and of no others",
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
    expect(oids).toHaveLength(5);
    expect(await hashNow()).toBe(hash);
    expect(haveFingerprints(states, await hashFingerprints(session, oids, signal))).toBe(true);
    await session.query("ALTER SCHEMA other RENAME TO another; ALTER SCHEMA another RENAME TO other");
    expect(await hashNow()).not.toBe(hash);
    expect(haveFingerprints(states, await hashFingerprints(session, oids, signal))).toBe(false);
    const changes = ["ALTER TABLE altered DROP COLUMN i", "TRUNCATE t", 'ALTER TABLE t RENAME TO "t "'];
    for (const change of changes) {
      const before = await readRelationStates(session, oids, { countsBlocks: false, signal });
      expect(haveFingerprints(before, await hashFingerprints(session, oids, signal))).toBe(true);
      await session.query(change);
      expect(haveFingerprints(before, await hashFingerprints(session, oids, signal)), change).toBe(false);
    }
  },
);
