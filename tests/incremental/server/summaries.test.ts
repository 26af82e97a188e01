// What WAL summaries tell, on servers of our own: support, checkpoints, positions, lists, touched segments, digests, and
// all of it as a role without privileges.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  awaitSummaries,
  digestSummaries,
  listSummaries,
  parseLsn,
  readCheckpoint,
  readPosition,
  readRelationShapes,
  readServerSupport,
  readTouched,
} from "../../../src/incremental/index.ts";
import type { RelationShape, TouchedFile, WalSummary } from "../../../src/incremental/index.ts";
import type { Session } from "../../../src/postgres/index.ts";
import { ownServer, server } from "../../support/servers.ts";
import type { OwnServer } from "../../support/servers.ts";
import { known, sessionOn, shapeOf, signal } from "./support.ts";

const SEGMENT_BLOCK_COUNT = 4;

describe.each([17, 18] as const)("on PostgreSQL %i", (major) => {
  let pg: OwnServer;
  let session: Session;
  let databaseOid = 0;

  beforeAll(async () => {
    pg = await ownServer(major, { settings: { autovacuum: "off" } });
    await pg.createDatabase("app");
    session = await sessionOn(pg.uri("app"));
    databaseOid = Number((await session.query("SELECT oid FROM pg_database WHERE datname = 'app'")).value);
  });
  afterAll(async () => {
    await session.close();
    await pg[Symbol.asyncDispose]();
  });

  async function insertLsn(): Promise<bigint> {
    return parseLsn((await session.query("SELECT pg_current_wal_insert_lsn()")).value!)!;
  }

  /** Has a checkpoint made; the LSN from which changes count afterwards. */
  async function checkpoint(): Promise<bigint> {
    const options = { timeline: 1, untilLsn: await insertLsn(), mode: "now", limitMs: 60_000, signal } as const;
    expect(await awaitSummaries(session, options)).toMatchObject({ kind: "reached" });
    return known(await readCheckpoint(session, signal)).redoLsn;
  }

  async function summariesFrom(lsn: bigint): Promise<WalSummary[]> {
    return known(await listSummaries(session, 1, signal)).filter(({ startLsn }) => startLsn >= lsn);
  }

  /** What is touched by `sql` in the files of a table as it is afterwards. */
  async function touchedBy(sql: string): Promise<readonly TouchedFile[]> {
    const from = await checkpoint();
    await session.query(sql);
    await checkpoint();
    return known(
      await readTouched(session, await summariesFrom(from), {
        databaseOid,
        segmentBlockCount: SEGMENT_BLOCK_COUNT,
        signal,
      }),
    );
  }

  test("readTouched() names the segments of an insert, an update and a delete, and no others", async () => {
    await session.query("CREATE TABLE rows (id int, pad text) WITH (fillfactor = 100)");
    // 40 rows a block
    await session.query("INSERT INTO rows SELECT g, repeat('x', 170) FROM generate_series(1, 1200) AS g");
    await session.query("VACUUM rows");
    const shape = await shapeOf(session, "public.rows");
    const of = (touched: readonly TouchedFile[]): TouchedFile | undefined =>
      touched.find(
        ({ filenode, tablespaceOid }) => filenode === shape.filenode && tablespaceOid === shape.tablespaceOid,
      );
    const segmentOf = async (where: string): Promise<number[]> => {
      const query = `SELECT DISTINCT (ctid::text::point)[0]::int / ${SEGMENT_BLOCK_COUNT} FROM rows WHERE ${where} ORDER BY 1`;
      return (await session.query(query)).rows.map((row) => Number(row[0]));
    };
    expect(of(await touchedBy("SELECT count(*) FROM rows"))).toBe(undefined);
    const deleted = await segmentOf("id = 500");
    expect(deleted).not.toEqual([0]);
    expect(of(await touchedBy("DELETE FROM rows WHERE id = 500"))).toMatchObject({
      limitBlock: null,
      segmentIndexes: deleted,
    });
    const before = await segmentOf("id = 3");
    const updated = of(await touchedBy("UPDATE rows SET pad = 'y' || pad WHERE id = 3"));
    const after = await segmentOf("id = 3");
    expect(updated?.segmentIndexes).toEqual([...new Set([...before, ...after])].toSorted((a, b) => a - b));
    const inserted = of(
      await touchedBy("INSERT INTO rows SELECT 2000 + g, repeat('z', 170) FROM generate_series(1, 400) AS g"),
    );
    const segments = await segmentOf("id >= 2000");
    expect(segments.length).toBeGreaterThan(2);
    expect(inserted?.segmentIndexes).toEqual(expect.arrayContaining(segments));
    expect(inserted?.segmentIndexes).not.toContain(4);
  });

  test("readTouched() counts the segments of a file in its own size where that is another one", async () => {
    await session.query("CREATE TABLE finer (id int, pad text); CREATE TABLE usual (id int, pad text)");
    for (const name of ["finer", "usual"]) {
      await session.query(`INSERT INTO ${name} SELECT g, repeat('x', 170) FROM generate_series(1, 1200) AS g`);
      await session.query(`VACUUM ${name}`);
    }
    const from = await checkpoint();
    await session.query("DELETE FROM finer WHERE id IN (1, 1200); DELETE FROM usual WHERE id IN (1, 1200)");
    await checkpoint();
    const [finer, usual] = [await shapeOf(session, "public.finer"), await shapeOf(session, "public.usual")];
    const lastBlock = Number((await session.query("SELECT pg_relation_size('finer') / 8192 - 1")).value);
    const others = [
      { tablespaceOid: finer.tablespaceOid + 1, filenode: usual.filenode, segmentBlockCount: 2 },
      { tablespaceOid: finer.tablespaceOid, filenode: 77, segmentBlockCount: 2 },
    ];
    const own = { tablespaceOid: finer.tablespaceOid, filenode: finer.filenode, segmentBlockCount: 1 };
    const options = { databaseOid, segmentBlockCount: SEGMENT_BLOCK_COUNT, finer: [...others, own], signal };
    const touched = known(await readTouched(session, await summariesFrom(from), options));
    const indexesOf = ({ filenode }: { filenode: number }): readonly number[] | undefined =>
      touched.find((file) => file.filenode === filenode)?.segmentIndexes;
    expect(indexesOf(finer)).toEqual([0, lastBlock]);
    expect(indexesOf(usual)).toEqual([0, Math.floor(lastBlock / SEGMENT_BLOCK_COUNT)]);
  });

  test("readTouched() names the limit block of a truncated tail and of a new file", async () => {
    await session.query("CREATE TABLE tail (id int, pad text)");
    await session.query("INSERT INTO tail SELECT g, repeat('x', 170) FROM generate_series(1, 1200) AS g");
    const blocks = async (): Promise<number> =>
      Number((await session.query("SELECT pg_relation_size('tail') / 8192")).value);
    await session.query("DELETE FROM tail WHERE id > 400");
    const { filenode } = await shapeOf(session, "public.tail");
    const truncated = await touchedBy("VACUUM tail");
    const limitBlock = await blocks();
    expect(limitBlock).toBeLessThan(15);
    expect(truncated.find((file) => file.filenode === filenode)?.limitBlock).toBe(limitBlock);
    const emptied = await touchedBy("TRUNCATE tail");
    const now = await shapeOf(session, "public.tail");
    expect(now.filenode).not.toBe(filenode);
    expect(emptied.find((file) => file.filenode === now.filenode)).toMatchObject({ limitBlock: 0, segmentIndexes: [] });
  });

  test("readTouched() names filenode 0 when a database changes its tablespace, and readRelationShapes() the new one", async () => {
    await pg.psql("postgres", "SET allow_in_place_tablespaces = on; CREATE TABLESPACE fast LOCATION ''");
    await using moving = await pg.createDatabase("moving");
    await moving.psql("CREATE TABLE t (a int)");
    const shape = async (): Promise<RelationShape> => {
      await using own = await sessionOn(moving.uri);
      return await shapeOf(own, "public.t");
    };
    const fast = Number(await pg.psql("postgres", "SELECT oid FROM pg_tablespace WHERE spcname = 'fast'"));
    const oid = Number(await pg.psql("postgres", "SELECT oid FROM pg_database WHERE datname = 'moving'"));
    const then = await shape();
    expect(then).toMatchObject({ tablespaceOid: 1663, persistence: "p", accessMethod: "heap", blockCount: 7 });
    expect(then.filenode).toBe(Number(await moving.psql("SELECT pg_relation_filenode('t')")));
    const from = await checkpoint();
    await pg.psql("postgres", "ALTER DATABASE moving SET TABLESPACE fast");
    expect(await shape()).toEqual({ ...then, tablespaceOid: fast });
    await pg.psql("postgres", "ALTER DATABASE moving SET TABLESPACE pg_default");
    await checkpoint();
    expect(await shape()).toEqual(then);
    const options = { databaseOid: oid, segmentBlockCount: SEGMENT_BLOCK_COUNT, signal };
    const touched = known(await readTouched(session, await summariesFrom(from), options));
    const whole = touched.filter(({ filenode }) => filenode === 0);
    expect(whole.map(({ tablespaceOid }) => tablespaceOid).toSorted((a, b) => a - b)).toEqual([1663, fast]);
    expect(whole.every(({ limitBlock }) => limitBlock === 0)).toBe(true);
    // Another database sees nothing of it.
    const own = known(await readTouched(session, await summariesFrom(from), { ...options, databaseOid }));
    expect(own.some(({ filenode }) => filenode === 0)).toBe(false);
    await moving.psql("CREATE TABLE moved (a int) TABLESPACE fast");
    await using local = await sessionOn(moving.uri);
    expect((await shapeOf(local, "public.moved")).tablespaceOid).toBe(fast);
    expect(known(await readRelationShapes(local, [{ oid: 4_000_000_000, blockCount: 1 }], signal)).size).toBe(0);
    expect(known(await readRelationShapes(local, [], signal)).size).toBe(0);
  });

  test("readTouched() tells nothing beyond its limit, or when a file is gone", async () => {
    const from = await checkpoint();
    await session.query("CREATE TABLE many (a int); INSERT INTO many SELECT generate_series(1, 20000)");
    await checkpoint();
    const summaries = await summariesFrom(from);
    const options = { databaseOid, segmentBlockCount: 1, signal };
    expect(await readTouched(session, summaries, { ...options, segmentCountMax: 5 })).toMatchObject({
      kind: "unknown",
      reason: expect.stringMatching(/^too much was touched to be listed \(\d+ segments, at most 5\)/),
    });
    expect(await readTouched(session, [], options)).toEqual({ kind: "known", value: [] });
    const digest = known(await digestSummaries(session, summaries, databaseOid, signal));
    expect(known(await digestSummaries(session, summaries, databaseOid, signal))).toBe(digest);
    const folder = join(pg.dataDirectory, "pg_wal", "summaries");
    const files = (await readdir(folder)).toSorted();
    await rm(join(folder, files.at(-1)!));
    expect((await readTouched(session, summaries, options)).kind).toBe("unknown");
    expect((await digestSummaries(session, summaries, databaseOid, signal)).kind).toBe("unknown");
    expect((await readTouched(session, summaries.slice(0, -1), options)).kind).toBe("known");
    expect(session.transactionStatus).toBe("idle");
  });

  test("digestSummaries() differs when the files say something else of this database", async () => {
    const from = await checkpoint();
    await session.query("CREATE TABLE digested (a int); INSERT INTO digested SELECT generate_series(1, 1000)");
    await checkpoint();
    const summaries = await summariesFrom(from);
    const digest = known(await digestSummaries(session, summaries, databaseOid, signal));
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    expect(known(await digestSummaries(session, summaries, 1, signal))).not.toBe(digest);
    expect(known(await digestSummaries(session, summaries.slice(1), databaseOid, signal))).not.toBe(digest);
  });

  test("a login role without privileges may ask for everything but a checkpoint", async () => {
    await pg.psql("app", "CREATE ROLE nobody LOGIN; CREATE TABLE closed (a int); INSERT INTO closed VALUES (1)");
    const { oid } = await shapeOf(session, "public.closed");
    const from = await checkpoint();
    await session.query("INSERT INTO closed VALUES (2)");
    const until = await insertLsn();
    await using plain = await sessionOn(pg.uri("app", { user: "nobody" }));
    // The servers of tests are allowed to lose data.
    expect(await readServerSupport(plain, signal)).toMatchObject({ reason: expect.stringMatching(/^fsync is off/) });
    const options = { timeline: 1, untilLsn: until, mode: "now", limitMs: 60_000, signal } as const;
    expect(await awaitSummaries(plain, options)).toMatchObject({
      kind: "not-reached",
      reason: "the role may not ask for a checkpoint: it is not in pg_checkpoint",
      isCheckpointMade: false,
    });
    await pg.psql("app", "GRANT pg_checkpoint TO nobody");
    expect(await awaitSummaries(plain, options)).toMatchObject({ kind: "reached", isCheckpointMade: true });
    expect(await awaitSummaries(plain, options)).toMatchObject({ kind: "reached", isCheckpointMade: false });
    expect(known(await readCheckpoint(plain, signal)).redoLsn).toBeGreaterThan(from);
    const summaries = known(await listSummaries(plain, 1, signal));
    const options2 = { databaseOid, segmentBlockCount: SEGMENT_BLOCK_COUNT, signal };
    expect(known(await readTouched(plain, summaries, options2)).length).toBeGreaterThan(0);
    expect(known(await digestSummaries(plain, summaries, databaseOid, signal))).toHaveLength(64);
    const shapes = known(await readRelationShapes(plain, [{ oid, blockCount: 1 }], signal));
    expect(shapes.get(oid)?.alwaysReadBecause).toBe(null);
  });

  test("readCheckpoint() and readPosition() tell the history that the WAL belongs to", async () => {
    const redo = await checkpoint();
    const record = known(await readCheckpoint(session, signal));
    expect(record).toMatchObject({ timeline: 1, redoLsn: redo });
    const xid = BigInt((await session.query("SELECT pg_current_xact_id()")).value!);
    await checkpoint();
    expect(known(await readCheckpoint(session, signal)).nextXid).toBeGreaterThan(xid);
    const snapshot = {
      xmin: 5n,
      xmax: 6n,
      lsn: "1/2A",
      isStandby: false,
      databaseOid,
      systemIdentifier: 77n,
    };
    const position = known(await readPosition(session, snapshot, signal));
    expect(position).toMatchObject({
      systemIdentifier: "77",
      databaseOid,
      timeline: 1,
      hostRole: "primary",
      xmin: 5n,
      xmax: 6n,
      snapshotLsn: 0x1_0000_002an,
    });
    expect(Math.floor(position.serverVersionNum / 10_000)).toBe(major);
    expect(Date.parse(position.postmasterStartedAt)).toBeGreaterThan(Date.now() - 600_000);
    expect(await readPosition(session, { ...snapshot, lsn: null }, signal)).toMatchObject({ kind: "unknown" });
    expect(await readPosition(session, { ...snapshot, systemIdentifier: null }, signal)).toMatchObject({
      kind: "unknown",
    });
    expect(await readPosition(session, { ...snapshot, isStandby: true }, signal)).toMatchObject({
      kind: "unknown",
      reason: "the server was promoted after the snapshot was taken",
    });
  });
});

test.each([15, 16] as const)("readServerSupport() says that PostgreSQL %i has no WAL summaries", async (major) => {
  const pg = await server(major);
  await using session = await sessionOn(pg.uri("postgres"));
  expect(await readServerSupport(session, signal)).toEqual({
    kind: "unsupported",
    reason: `PostgreSQL ${major} has no WAL summaries (17 and later have)`,
  });
});
