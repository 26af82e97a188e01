// A backup that is killed between any two calls of the storage leaves every earlier restore point whole, and the next
// backup succeeds.

import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openLocalStorage } from "../storage/index.ts";
import { openRepository } from "./index.ts";
import { rows } from "./prune/prune.fixture.ts";
import {
  backUp,
  DyingStorage,
  PASSPHRASE,
  readTables,
  smallRepository,
  temporaryFolder,
} from "./repository.fixture.ts";

const LONG = rows("long");
const FIRST = { orders: ["1\ta\n", "2\tb\n", LONG], items: ["9\tz\n"] };
/** One full chunk is new, and one delta. */
const SECOND = { orders: ["1\ta\n", "2\tc\n", `${LONG}more\n`], items: ["9\tz\n"] };

test(
  "Run.commit(), killed at each storage call, leaves the earlier restore point and room for the next",
  { timeout: 120_000 },
  async () => {
    await using folder = await temporaryFolder();
    const seed = join(folder.path, "seed");
    const { repository } = await smallRepository(openLocalStorage(seed));
    const first = await backUp(repository, { tables: FIRST });
    const outcomes = { whole: 0, absent: 0 };
    for (let failAt = 0; ; failAt += 1) {
      const path = join(folder.path, String(failAt));
      await cp(seed, path, { recursive: true });
      const dying = new DyingStorage(openLocalStorage(path), failAt);
      const isDone = await openRepository(dying, { passphrase: PASSPHRASE })
      .then(async (opened) => await backUp(opened, { tables: SECOND, makesDeltas: true }))
      .then(() => true, () => false); // prettier-ignore
      const after = await openRepository(openLocalStorage(path), { passphrase: PASSPHRASE });
      const found = await after.restorePoints();
      // The manifest may have been written before the kill: then the restore point is whole.
      outcomes[found.length === 2 ? "whole" : "absent"] += 1;
      expect(found.at(-1)!.id).toBe(first.id);
      for (const { id } of found) {
        const restorePoint = await after.openRestorePoint(id);
        expect((await after.verifyRestorePoint(restorePoint, { isMarked: false })).isWhole, `${failAt}: ${id}`).toBe(
          true,
        );
        expect(await readTables(restorePoint)).toEqual(id === first.id ? FIRST : SECOND);
      }
      const left = await after.leftovers();
      expect(left.unreadable).toEqual([]);
      const next = await backUp(after, { tables: SECOND, makesDeltas: true });
      const last = await after.openRestorePoint(next.id);
      expect((await after.verifyRestorePoint(last)).isWhole).toBe(true);
      expect(await readTables(last)).toEqual(SECOND);
      expect(last.manifest.relations[0]).toMatchObject({ deltaChunkCount: 1 });
      await rm(path, { recursive: true });
      if (isDone) break;
      expect(failAt).toBeLessThan(500);
    }
    expect(outcomes.absent).toBeGreaterThan(10);
    expect(outcomes.whole).toBeGreaterThan(1);
  },
);

test("createRepository(), killed at each storage call, can be run again", async () => {
  for (let failAt = 0; ; failAt += 1) {
    await using folder = await temporaryFolder();
    const dying = new DyingStorage(openLocalStorage(folder.path), failAt);
    const isDone = await smallRepository(dying).then(() => true, () => false); // prettier-ignore
    const storage = openLocalStorage(folder.path);
    if ((await storage.head("cairn.json")) === null) await smallRepository(storage);
    await openRepository(storage, { passphrase: PASSPHRASE });
    if (isDone) break;
    expect(failAt).toBeLessThan(50);
  }
});

test("Run.abort() leaves nothing behind", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  const controller = new AbortController();
  const run = await repository.startRun({ kind: "backup", signal: controller.signal });
  const bytes = new Uint8Array(9000);
  const chunk = { kind: "table", id: new Uint8Array(32), rawLengthBytes: 9000, rowCount: 1, continues: false, encoding: "none", bytes } as const; // prettier-ignore
  for (let index = 0; index < 5; index += 1) await run.storeChunk(chunk);
  expect(await repository.runs()).toMatchObject([{ runId: run.id, state: "alive" }]);
  controller.abort(new Error("stop"));
  await expect(run.storeChunk(chunk)).rejects.toThrow("stop");
  await run.abort();
  expect(await repository.leftovers()).toEqual({ runs: [], packs: [], unfinished: [], unreadable: [] });
});
