// Changed chunks are stored as deltas of the parent's, wherever pg_restore, our restore, expire and prune come afterwards.

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { openRepository, type ChunkReference } from "../../src/repository/index.ts";
import { NO_RULES } from "../../src/repository/repository.fixture.ts";
import { openLocalStorage } from "../../src/storage/index.ts";
import { isNamedError, stockRestore, TestRepository } from "../matrix/support.ts";
import { server, type TestDatabase, type TestServer } from "../support/servers.ts";

const ROW_COUNT = 75_000;
const DAY_MS = 86_400_000;

/** About 20 MB of rows that do not compress away, so that bytes stored tell what was stored. */
const ledger = `
  CREATE TABLE ledger (id int PRIMARY KEY, at timestamptz, amount numeric, who text, note text);
  INSERT INTO ledger SELECT i, '2026-01-01Z'::timestamptz + i * interval '7 s', i * 1.37, md5(i::text),
      md5('a' || i) || repeat('filler ', 12) || md5('b' || i) || md5('c' || i)
    FROM generate_series(1, ${ROW_COUNT}) i;
  CREATE TABLE small (id int PRIMARY KEY, word text);
  INSERT INTO small SELECT i, md5(i::text) FROM generate_series(1, 5000) i;`;

/** Changes 1 % of the rows, here and there. */
function touch(round: number): string {
  return `UPDATE ledger SET amount = amount + 1, note = md5(note) || note WHERE (hashint4(id) & 65535) % 100 = ${round};
    UPDATE small SET word = 'round ${round}' WHERE id = ${round}`;
}

/** The chunks of a restore point's tables. */
async function chunksOf(repository: TestRepository, id: string): Promise<ChunkReference[]> {
  const passphrase = repository.access.givenPassphrase;
  await using opened = await openRepository(openLocalStorage(repository.access.location), {
    ...(passphrase !== null && { passphrase }),
  });
  const restorePoint = await opened.openRestorePoint(id);
  const chunks: ChunkReference[] = [];
  for (const relation of restorePoint.manifest.relations) {
    const before = chunks.length;
    for await (const segment of restorePoint.segments(relation)) chunks.push(...segment.chunks);
    const deltas = chunks.slice(before).filter(({ base }) => base !== null);
    expect(relation.deltaChunkCount ?? 0).toBe(deltas.length);
  }
  return chunks;
}

const placeOf = ({ pack, itemNumber }: ChunkReference): string => `${pack}#${itemNumber}`;

const deltasOf = (chunks: readonly ChunkReference[]): ChunkReference[] => {
  return chunks.filter(({ encoding }) => encoding === "zstd-delta");
};

function rawBytesOf(chunks: readonly ChunkReference[]): number {
  return chunks.reduce((sum, { rawLengthBytes }) => sum + rawLengthBytes, 0);
}

/** Expires all but the newest restore point, and deletes what nothing needs, days later. */
async function keepNewest(repository: TestRepository): Promise<void> {
  let nowMs = Date.now();
  const passphrase = repository.access.givenPassphrase;
  await using opened = await openRepository(openLocalStorage(repository.access.location), {
    clock: { now: () => new Date(nowMs), monotonicMs: () => performance.now() },
    ...(passphrase !== null && { passphrase }),
  });
  await opened.expire({ rules: { ...NO_RULES, last: 1 }, isDryRun: false });
  const options = { graceMs: DAY_MS, unusedFractionMax: 0, isDryRun: false, isWaiting: true };
  await opened.prune(options);
  nowMs += 3 * DAY_MS;
  const { decisions } = await opened.prune(options);
  expect(decisions.map(({ action }) => action)).toContain("repacked"); // packs that hold bases too
}

/** Each table's count of rows and a sum of their hashes. */
async function contentsOf(database: TestDatabase): Promise<string> {
  return await database.psql(`
    SELECT count(*), sum(hashtextextended(l::text, 0)) FROM ledger l UNION ALL
    SELECT count(*), sum(hashtextextended(s::text, 0)) FROM small s`);
}

describe.each([
  { major: 15, isEncrypted: false },
  { major: 18, isEncrypted: true },
] as const)("deltas on PostgreSQL $major, encrypted: $isEncrypted", ({ major, isEncrypted }) => {
  const disposables = new AsyncDisposableStack();
  let pg: TestServer;
  let source: TestDatabase;
  let repository: TestRepository;

  beforeAll(async () => {
    pg = await server(major);
    source = disposables.use(await pg.createDatabase());
    repository = disposables.use(await TestRepository.create({ isEncrypted }));
    await source.psql(ledger);
  });
  afterAll(() => disposables.disposeAsync());

  async function expectRestores(id: string): Promise<void> {
    await using ours = await pg.createDatabase();
    expect(await repository.restore(id, ours.uri)).toMatchObject({ isComplete: true, entriesFailed: [] });
    expect(await contentsOf(ours)).toBe(await contentsOf(source));
  }

  /** Restored by the stock pg_restore, which has to find the data by its offsets. */
  async function expectStockRestores(id: string): Promise<void> {
    await using theirs = await pg.createDatabase();
    const { file } = await repository.export(id, id);
    const { errors } = await stockRestore(pg.tools, file, theirs.uri, ["-j2"]);
    expect(errors.filter((error) => !isNamedError(error, major))).toEqual([]);
    expect(await contentsOf(theirs)).toBe(await contentsOf(source));
  }

  test("a backup stores what changed, its restore points are whole, and need no parent's manifest", async () => {
    const first = await repository.backup(source.uri);
    expect(deltasOf(await chunksOf(repository, first.id))).toEqual([]);

    await source.psql(touch(1));
    const second = await repository.backup(source.uri);
    expect(second.newBytes).toBeLessThan(first.newBytes * 0.05);
    const deltas = deltasOf(await chunksOf(repository, second.id));
    expect(deltas.length).toBeGreaterThan(5);
    expect(second.deltas).toMatchObject({ chunkCount: deltas.length, rawBytes: rawBytesOf(deltas) });
    expect(second.deltas.storedBytes).toBeLessThan(second.newBytes);
    expect(second.deltas.fetchedBytes).toBeGreaterThan(first.newBytes * 0.8);

    await source.psql(`VACUUM ledger; ${touch(2)}`);
    const third = await repository.backup(source.uri);
    expect(third.newBytes).toBeLessThan(first.newBytes * 0.07);
    const places = new Set((await chunksOf(repository, first.id)).map(placeOf));
    const bases = deltasOf(await chunksOf(repository, third.id)).map(({ base }) => base!);
    for (const base of bases) expect(base).toMatchObject({ encoding: "zstd", base: null });
    expect(bases.filter((base) => places.has(placeOf(base))).length).toBeGreaterThan(5);
    await keepNewest(repository);
    expect((await repository.list()).restorePoints.map(({ id }) => id)).toEqual([third.id]);
    expect(await repository.verify(third.id)).toMatchObject({ isIntact: true });
    await expectRestores(third.id);
    await expectStockRestores(third.id);

    await source.psql("UPDATE ledger SET note = md5(note) || md5(who), who = md5(note)");
    const rewritten = await repository.backup(source.uri);
    expect(deltasOf(await chunksOf(repository, rewritten.id)).length).toBeLessThan(deltas.length / 4);
    await source.psql(touch(3));
    const fifth = await repository.backup(source.uri);
    expect(fifth.newBytes).toBeLessThan(rewritten.newBytes * 0.06);
    await expectStockRestores(fifth.id);
  });
});

test("a backup without compression makes no deltas, nor does one on top of it", async () => {
  const pg = await server(18);
  await using source = await pg.createDatabase();
  await source.psql("CREATE TABLE small AS SELECT i AS id, md5(i::text) AS word FROM generate_series(1, 5000) i");
  await using repository = await TestRepository.create();
  await repository.backup(source.uri, { compression: "none" });
  const deltaCounts: number[] = [];
  for (const [round, compression] of ["none", "zstd:3", "zstd:3"].entries()) {
    await source.psql(`UPDATE small SET word = 'round' WHERE id = ${round}`);
    const { id } = await repository.backup(source.uri, { compression });
    deltaCounts.push(deltasOf(await chunksOf(repository, id)).length);
  }
  expect(deltaCounts).toEqual([0, 0, 1]); // the last one shows that it is not the table
});
