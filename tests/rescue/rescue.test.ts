// The rescue program alone: a copy of the repository in an empty folder, Node, and stock pg_restore.

import { execFile } from "node:child_process";
import { cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { constants, createZstdCompress } from "node:zlib";
import { describe, expect, test } from "vitest";
import { openRepository } from "../../src/repository/index.ts";
import type { ChunkReference, NewChunk, Repository, RestorePoint, Run } from "../../src/repository/index.ts";
import {
  chunkOf,
  deltaOf,
  FACTS,
  NO_RULES,
  PASSPHRASE,
  smallRepository,
  temporaryFolder,
} from "../../src/repository/repository.fixture.ts";
import { openLocalStorage } from "../../src/storage/index.ts";
import { runTool, server } from "../support/servers.ts";
import type { Major, TestDatabase } from "../support/servers.ts";

const HOSTILE_TEXT = `1\t${"a note ".repeat(100)}`;
const LONG_OBJECT = "a long large object ".repeat(5000);
const SCHEMA = `
  CREATE TABLE orders (id int PRIMARY KEY, note text);
  INSERT INTO orders SELECT i, 'note ' || i FROM generate_series(1, 5000) i;
  CREATE TABLE nothing (x int);
  CREATE SEQUENCE numbers START 42;
  CREATE VIEW big_orders AS SELECT * FROM orders WHERE id > 4000;
  SELECT lo_from_bytea(70001, 'seven'), lo_from_bytea(70002, ''), lo_from_bytea(70003, convert_to(repeat('a long large object ', 5000), 'UTF8'));
`;
const CONTENTS = `
  SELECT (SELECT md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o), (SELECT count(*) FROM nothing),
    (SELECT string_agg(oid || md5(lo_get(oid)), ',' ORDER BY oid) FROM pg_largeobject_metadata), (SELECT last_value FROM numbers),
    (SELECT count(*) FROM big_orders);
`;

/**
 * Backs a database up in five segments, one shared and one long large object, without the other rooms. With a parent, each
 * segment is a delta of the parent's.
 */
async function backUp(
  repository: Repository,
  database: TestDatabase,
  path: string,
  parent: RestorePoint | null = null,
): Promise<string> {
  const archive = join(path, "source.dump");
  await runTool(database.server.tools.pgDump, ["-Fc", "-f", archive, "-d", database.uri]);
  const list = await runTool(database.server.tools.pgRestore, ["--list", archive]);
  const dumpId = (pattern: RegExp): number => Number(pattern.exec(list)![1]);
  await using run = await repository.startRun({ kind: "backup", parent });
  const rows = run.openSegmentList();
  const bases: ChunkReference[] = [];
  const before = run.parent?.segments(run.parent.manifest.relations[0]!) ?? [];
  for await (const { chunks } of before) bases.push(...chunks);
  for (let segment = 0; segment < 5; segment += 1) {
    const [from, to] = [segment * 1000, segment * 1000 + 1000];
    const text = await database.psql(
      `COPY (SELECT * FROM orders WHERE id > ${from} AND id <= ${to} ORDER BY id) TO STDOUT`,
    );
    const base = bases[segment];
    const baseText = base && (await run.parent!.loadChunk(base));
    const secret = repository.chunkIdSecret;
    const chunk = base ? deltaOf(secret, `${text}\n`, base, baseText!) : chunkOf(secret, `${text}\n`);
    await rows.add({ firstBlock: from, blockCount: 1000, rowCount: 1000, chunks: [await run.storeChunk(chunk)] });
  }
  const place = { oid: 1, namespace: "public", name: "orders", storage: null, blockCount: 5000, segmentBlocks: 1000 };
  const relation = { dumpId: dumpId(/(\d+); 0 \d+ TABLE DATA public orders/), ...place, ...(await rows.finish()) };
  const objects = { dumpId: dumpId(/(\d+); 0 0 BLOBS/), ...(await storeLargeObjects(repository, run)) };
  const toc = await readFile(archive);
  await rm(archive);
  return (await run.commit({ ...FACTS, relations: [relation], largeObjects: [objects], toc })).id;
}

async function storeLargeObjects(repository: Repository, run: Run) {
  const objects = run.openLargeObjectList();
  const store = async (text: string) => {
    return await run.storeChunk(chunkOf(repository.chunkIdSecret, text, "large-objects"));
  };
  const inside = [{ oid: 70001, lengthBytes: 5 }, { oid: 70002, lengthBytes: 0 }]; // prettier-ignore
  await objects.add({ kind: "shared", chunk: await store("seven"), objects: inside });
  const chunks = [await store(LONG_OBJECT.slice(0, 30_000)), await store(LONG_OBJECT.slice(30_000))];
  await objects.add({ kind: "own", oid: 70003, lengthBytes: LONG_OBJECT.length, chunks });
  return await objects.finish();
}

async function rescue(folder: string, parameters: readonly string[], environment = {}): Promise<string> {
  const options = { cwd: folder, env: { PATH: process.env.PATH, ...environment } };
  const done = await promisify(execFile)(process.execPath, ["cairn-rescue.mjs", ...parameters], options).catch(
    (error: { stdout: string; stderr: string }) => error,
  );
  return done.stdout + done.stderr;
}

describe.each([15, 17, 18] as const)("cairn-rescue.mjs, PostgreSQL %s", (major: Major) => {
  test.each([true, false])("lists and exports, encrypted: %s", async (isEncrypted) => {
    const pg = await server(major);
    await using database = await pg.createDatabase();
    await database.psql(SCHEMA);
    await using folder = await temporaryFolder();
    const { repository } = await smallRepository(openLocalStorage(join(folder.path, "made")), isEncrypted);
    const id = await backUp(repository, database, folder.path);
    const copy = join(folder.path, "copy");
    await cp(join(folder.path, "made"), copy, { recursive: true });
    const environment = isEncrypted ? { CAIRN_PASSPHRASE: PASSPHRASE } : {};
    expect(await rescue(copy, ["list"], environment)).toContain(`${id}  ${FACTS.snapshotAt}  shop@db1`);
    for (const more of [[], ["--uncompressed"]]) {
      const file = join(folder.path, `out${more.join("")}.dump`);
      expect(await rescue(copy, ["export", id.slice(0, 12), file, ...more], environment)).toContain("wrote");
      for (const jobs of ["-j1", "-j4"]) {
        await using target = await pg.createDatabase();
        await runTool(pg.tools.pgRestore, ["-e", jobs, "-d", target.uri, file]);
        expect(await target.psql(CONTENTS)).toBe(await database.psql(CONTENTS));
      }
      const script = join(folder.path, `out${more.join("")}.sql`);
      await runTool(pg.tools.pgRestore, ["-f", script, file]);
      await using target = await pg.createDatabase();
      await runTool(pg.tools.psql, ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", target.uri, "-f", script]);
      expect(await target.psql(CONTENTS)).toBe(await database.psql(CONTENTS));
    }
  });
});

test("cairn-rescue.mjs finds chunks and lists of a pack that was repacked", async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase();
  await database.psql(SCHEMA);
  await using folder = await temporaryFolder();
  const path = join(folder.path, "made");
  const storage = openLocalStorage(path);
  const { repository } = await smallRepository(storage);
  // A second restore point refers to all of the first one's chunks but the first; then the first one goes.
  const first = await repository.openRestorePoint(await backUp(repository, database, folder.path));
  await using run = await repository.startRun({ kind: "backup", parent: first });
  const relations = [];
  for (const relation of first.manifest.relations) {
    const list = run.openSegmentList();
    for await (const segment of run.parent!.segments(relation)) {
      const [chunk] = segment.chunks;
      const bytes = await first.readChunk(chunk!);
      const chunks =
        segment.firstBlock === 0 ? [await run.storeChunk({ ...chunk!, bytes: bytes.bytes })] : segment.chunks;
      await list.add({ ...segment, chunks });
    }
    relations.push({ ...relation, ...(await list.finish()) });
  }
  const largeObjects = [];
  for (const set of first.manifest.largeObjects) {
    const list = run.openLargeObjectList();
    for await (const record of run.parent!.largeObjects(set)) await list.add(record);
    largeObjects.push({ ...set, ...(await list.finish()) });
  }
  const { id } = await run.commit({ ...FACTS, relations, largeObjects, toc: first.toc });
  const rules = { ...NO_RULES, last: 1 };
  await repository.expire({ rules, isDryRun: false });
  const options = { graceMs: 0, unusedFractionMax: 0, isDryRun: false, isWaiting: false };
  expect((await repository.prune(options)).decisions.map(({ action }) => action)).toContain("listed-in-part");
  expect((await repository.prune(options)).decisions.map(({ action }) => action)).toContain("repacked");
  const environment = { CAIRN_PASSPHRASE: PASSPHRASE };
  const file = join(folder.path, "out.dump");
  expect(await rescue(path, ["export", id, file], environment)).toContain("wrote");
  await using target = await pg.createDatabase();
  await runTool(pg.tools.pgRestore, ["-e", "-d", target.uri, file]);
  expect(await target.psql(CONTENTS)).toBe(await database.psql(CONTENTS));
});

test.each([true, false])(
  "cairn-rescue.mjs exports deltas when their parent is gone, encrypted: %s",
  async (isEncrypted) => {
    const pg = await server(18);
    await using database = await pg.createDatabase();
    await database.psql(SCHEMA);
    await using folder = await temporaryFolder();
    const path = join(folder.path, "made");
    const { repository } = await smallRepository(openLocalStorage(path), isEncrypted);
    const first = await repository.openRestorePoint(await backUp(repository, database, folder.path));
    await database.psql(
      "UPDATE orders SET note = 'changed' WHERE id % 500 = 7; DELETE FROM orders WHERE id % 1000 = 1",
    );
    await database.psql("INSERT INTO orders SELECT 1000 * i + 1, 'again' FROM generate_series(0, 4) i");
    const id = await backUp(repository, database, folder.path, first);
    const restorePoint = await repository.openRestorePoint(id);
    const bases: ChunkReference[] = [];
    for await (const { chunks } of restorePoint.segments(restorePoint.manifest.relations[0]!))
      bases.push(chunks[0]!.base!);
    expect(bases).toHaveLength(5);
    await repository.expire({ rules: { ...NO_RULES, last: 1 }, isDryRun: false });
    const options = { graceMs: 0, unusedFractionMax: 0, isDryRun: false, isWaiting: false };
    await repository.prune(options);
    expect((await repository.prune(options)).decisions.map(({ action }) => action)).toContain("repacked");
    const environment = isEncrypted ? { CAIRN_PASSPHRASE: PASSPHRASE } : {};
    for (const more of [[], ["--uncompressed"]]) {
      const file = join(folder.path, `out${more.join("")}.dump`);
      expect(await rescue(path, ["export", id, file, ...more], environment)).toContain("wrote");
      await using target = await pg.createDatabase();
      await runTool(pg.tools.pgRestore, ["-e", "-d", target.uri, file]);
      expect(await target.psql(CONTENTS)).toBe(await database.psql(CONTENTS));
    }
    for (const pack of (await readdir(join(path, "packs"), { recursive: true })).filter((name) => /-\d+$/.test(name))) {
      if (pack.includes(restorePoint.manifest.runId)) continue;
      const bytes = await readFile(join(path, "packs", pack));
      bytes[100]! ^= 1;
      await writeFile(join(path, "packs", pack), bytes);
    }
    expect(await rescue(path, ["export", id, "out.dump"], environment)).toMatch(/(authentication|checksum) of item \d+ (failed|is wrong)/); // prettier-ignore
  },
);

/** A frame whose window is as wide as zstd reads without being told more: 2^27 bytes. */
async function wideFrame(text: string, dictionary: Uint8Array): Promise<Uint8Array> {
  const params = { [constants.ZSTD_c_checksumFlag]: 1, [constants.ZSTD_c_windowLog]: 27 };
  const stream = createZstdCompress({ dictionary, params });
  const read = buffer(stream);
  stream.write(text.slice(0, 100));
  await promisify(stream.flush.bind(stream))();
  stream.end(text.slice(100));
  return await read;
}

test("cairn-rescue.mjs keeps the bounds of deltas: window, raw length", { timeout: 60_000 }, async () => {
  const pg = await server(18);
  await using database = await pg.createDatabase();
  await database.psql(SCHEMA);
  await using folder = await temporaryFolder();
  const path = join(folder.path, "made");
  const { repository } = await smallRepository(openLocalStorage(path), false);
  const first = await repository.openRestorePoint(await backUp(repository, database, folder.path));
  const { list: _, ...relation } = first.manifest.relations[0]!;
  const rescued = async (
    change: (chunk: NewChunk, baseText: Uint8Array) => Promise<NewChunk>,
    listed = (reference: ChunkReference): ChunkReference => reference,
  ): Promise<string> => {
    await using run = await repository.startRun({ kind: "backup", parent: first });
    const bases: ChunkReference[] = [];
    for await (const { chunks } of run.parent!.segments(run.parent!.manifest.relations[0]!)) bases.push(...chunks);
    const baseText = await run.parent!.loadChunk(bases[0]!);
    const chunk = await change(deltaOf(null, `${HOSTILE_TEXT}\n`, bases[0]!, baseText), baseText);
    const rows = run.openSegmentList();
    const reference = await run.storeChunk({ ...chunk, rowCount: 1 });
    await rows.add({ firstBlock: 0, blockCount: 1, rowCount: 1, chunks: [listed(reference)] });
    const relations = [{ ...relation, ...(await rows.finish()) }];
    const { id } = await run.commit({ ...FACTS, relations, largeObjects: [], toc: first.toc });
    return await rescue(path, ["export", id, `${id}.dump`]);
  };
  const same = async (chunk: NewChunk): Promise<NewChunk> => await Promise.resolve(chunk);
  const wide = async (chunk: NewChunk, baseText: Uint8Array): Promise<NewChunk> => {
    return { ...chunk, bytes: await wideFrame(`${HOSTILE_TEXT}\n`, baseText) };
  };
  // The list's writer refuses such a length, unless it is told so only where it writes it: the second time that it asks.
  const long = (reference: ChunkReference): ChunkReference => {
    let asked = 0;
    const get = (): number => ((asked += 1) === 2 ? 64 * 1024 ** 2 + 1 : reference.rawLengthBytes);
    return Object.defineProperty({ ...reference }, "rawLengthBytes", { get });
  };
  expect(await rescued(same)).toContain("wrote");
  expect(await rescued(wide)).toMatch(/too much memory/);
  expect(await rescued(same, long)).toContain("a delta or what it leans on is too long");
});

describe("cairn-rescue.mjs", () => {
  test("reads with the recovery key, also without cairn.json, and refuses what is not right", async () => {
    const pg = await server(18);
    await using database = await pg.createDatabase();
    await database.psql(SCHEMA);
    await using folder = await temporaryFolder();
    const path = join(folder.path, "made");
    const { recoveryKit, repository } = await smallRepository(openLocalStorage(path));
    const id = await backUp(repository, database, folder.path);
    const key = /Recovery key (\S+)\n\s+(\S+)/.exec(recoveryKit!)!.slice(1).join("");
    expect(await rescue(path, ["list"], { CAIRN_RECOVERY_KEY: key })).toContain(id);
    expect(await rescue(path, ["list"], { CAIRN_PASSPHRASE: "something else" })).toContain("does not open");
    expect(await rescue(path, ["list"])).toContain("no key");
    expect(await rescue(path, ["lst"])).toContain("usage");
    const configuration = await readFile(join(path, "cairn.json"), "utf8");
    await rm(join(path, "cairn.json"));
    const lost = { CAIRN_RECOVERY_KEY: key, CAIRN_REPOSITORY_ID: repository.id };
    expect(await rescue(path, ["list"], lost)).toContain(id);
    await writeFile(join(path, "cairn.json"), configuration.replace('"createdAt": "2', '"createdAt": "3'));
    expect(await rescue(path, ["list"], { CAIRN_PASSPHRASE: PASSPHRASE })).toContain("was changed");
    await writeFile(join(path, "cairn.json"), configuration);
    const [pack] = (await readdir(join(path, "packs"), { recursive: true })).filter((name) => name.length > 2);
    const bytes = await readFile(join(path, "packs", pack!));
    bytes[100]! ^= 1;
    await writeFile(join(path, "packs", pack!), bytes);
    const output = await rescue(path, ["export", id, "out.dump"], { CAIRN_PASSPHRASE: PASSPHRASE });
    expect(output).toMatch(/authentication of item \d+ failed/);
    expect((await readdir(path)).filter((name) => name.startsWith("out"))).toEqual([]);
    await expect(openRepository(openLocalStorage(path), { passphrase: PASSPHRASE })).resolves.toBeDefined();
  });
});
