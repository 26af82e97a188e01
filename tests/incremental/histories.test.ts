// Servers that crash, lose summaries, are put back to an older state, or have a file changed behind their back: the
// backup after it is right, and the self-check finds what no summary says. One server, stopped and started.

import { mkdtemp, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { backup as backupVerb } from "../../src/cli/commands/backup.ts";
import { giveToServerUser, runAsServerUser } from "../support/server-user.ts";
import type { OwnServer } from "../support/servers.ts";
import { IncrementalBench, SEGMENT_COUNT } from "./support.ts";

const BLOCK_SIZE_BYTES = 8192;

let server: OwnServer;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-histories-"));
  await giveToServerUser(folder);
  server = await IncrementalBench.startServer(18, ["--no-data-checksums"]);
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

test("after a crash the backup takes over and is right", async () => {
  await using bench = await IncrementalBench.on(server);
  await bench.backup();
  await bench.source.psql("UPDATE item SET word = 'before the crash' WHERE id < 5");
  await server.stop("immediate");
  await server.start();
  await bench.source.psql("UPDATE item SET word = 'after the crash' WHERE id > 12990");
  const { reading, id } = await bench.backup();
  expect(reading.readSegmentCount).toBeLessThan(SEGMENT_COUNT);
  await bench.expectEqual(id);
});

test("when summaries are gone everything is read, and the next backup takes over", async () => {
  await using bench = await IncrementalBench.on(server);
  await bench.backup();
  const summaries = join(server.dataDirectory, "pg_wal", "summaries");
  for (const name of await readdir(summaries)) await rm(join(summaries, name));
  await bench.source.psql("UPDATE item SET word = 'changed' WHERE id = 1");
  const { reading, id } = await bench.backup();
  expect(reading).toMatchObject({ takenOverSegmentCount: 0 });
  expect(reading.allReadBecause).toMatch(/no WAL summary ends at the parent's seal/);
  await bench.expectEqual(id);
  expect((await bench.backup()).reading.takenOverSegmentCount).toBe(SEGMENT_COUNT);
});

test("a data directory that was put back, and worked on past the parent's LSN, has everything read", async () => {
  await using bench = await IncrementalBench.on(server);
  await server.stop();
  const copy = join(folder, "copy");
  await runAsServerUser("sh", ["-c", 'cp -a "$1" "$2"', "sh", server.dataDirectory, copy]);
  await server.start();
  await bench.source.psql("UPDATE item SET word = 'lost' WHERE id < 10");
  await bench.backup();
  await server.stop();
  await runAsServerUser("sh", ["-c", 'rm -rf "$1"/* && cp -a "$2"/. "$1"', "sh", server.dataDirectory, copy]);
  await server.start();
  await bench.source.psql(`UPDATE item SET word = 'kept' WHERE id BETWEEN 100 AND 110;
    CREATE TABLE far AS SELECT i, md5(i::text) FROM generate_series(1, 50000) i; CHECKPOINT;`);
  const { reading, id } = await bench.backup();
  expect(reading.allReadBecause).toMatch(/no WAL summary ends at the parent's seal/);
  await bench.expectEqual(id);
});

test("a self-check that finds another block than it should ends with exit status 1, and nothing is taken over until --full", async () => {
  await using bench = await IncrementalBench.on(server);
  await bench.backup();
  await bench.source.psql("CHECKPOINT");
  const path = await bench.source.psql("SELECT pg_relation_filepath('item')");
  await server.stop();
  await changeWord(join(server.dataDirectory, path), 600);
  await server.start();

  const unseen = await bench.backup();
  expect(unseen.reading).toMatchObject({ readSegmentCount: 0, selfCheck: null });
  const checked = await bench.backup({ rereadEvery: 2 });
  expect(checked.reading.takenOverSegmentCount).toBe(0);
  expect(checked.reading.selfCheck).toEqual({
    comparedSegmentCount: SEGMENT_COUNT + 1,
    comparedLargeObjectCount: 0,
    largeObjectDifferences: [],
    differenceCount: 1,
    differences: [{ table: "public.item", firstBlock: 512, blockCount: 512 }],
  });
  expect(backupVerb.exitStatus(checked)).toBe(1);
  expect(backupVerb.render(checked)).toContain("public.item, blocks 512 to 1023");
  expect(checked.warnings[0]).toMatch(/1 of 4 segments are not what would have been taken over/);
  await bench.expectEqual(checked.id);

  const distrusted = await bench.backup();
  expect(distrusted.reading.allReadBecause).toMatch(/incremental reading is off until a run with --full/);
  expect(backupVerb.exitStatus(await bench.backup({ isFull: true }))).toBe(0);
  const again = await bench.backup({ isReread: true });
  expect(again.reading).toMatchObject({ selfCheck: { comparedSegmentCount: SEGMENT_COUNT + 1, differenceCount: 0 } });
  const last = await bench.backup();
  expect(last.reading.readSegmentCount).toBe(0);
  await bench.expectEqual(last.id);
});

/** Changes a letter of a word in a block of a table's file: no page, no row becomes invalid by it. */
async function changeWord(file: string, block: number): Promise<void> {
  const handle = await open(file, "r+");
  try {
    const page = Buffer.alloc(BLOCK_SIZE_BYTES);
    await handle.read(page, 0, page.length, block * BLOCK_SIZE_BYTES);
    const word = /[0-9a-f]{32}/.exec(page.toString("latin1"))!;
    await handle.write(Buffer.from("x"), 0, 1, block * BLOCK_SIZE_BYTES + word.index + 3);
  } finally {
    await handle.close();
  }
}
