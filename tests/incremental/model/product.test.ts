// The same random histories, read by `cairn backup` itself: each round a backup that takes over, and one that reads
// everything and compares with what it would have taken over in its snapshot. Now and then, with all transactions ended,
// what was taken over is restored and compared with the source.
// CAIRN_TEST_SEED as in model.test.ts; CAIRN_TEST_PRODUCT_ROUNDS: 3, in `npm run test:incremental` 80.

import { expect, test } from "vitest";

import type { BackupReceipt } from "../../../src/operations/backup/index.ts";
import { READING_DEFAULTS } from "../../../src/operations/backup/incremental/types.ts";
import { TestRepository } from "../../matrix/support.ts";
import { compareDatabases, formatDifferences } from "../../support/compare.ts";
import { IncrementalBench } from "../support.ts";
import { Dice } from "./dice.ts";
import { endAll, startHurry, work } from "./load.ts";
import { connect, DATABASE, World } from "./world.ts";

const isFull = process.env["CAIRN_TEST_INCREMENTAL"] === "full";
const seed = Number(process.env["CAIRN_TEST_SEED"] ?? Date.now() % 1_000_000);
const roundCount = Number(process.env["CAIRN_TEST_PRODUCT_ROUNDS"] ?? (isFull ? 80 : 3));

const ROUND_TIMEOUT_MS = 60_000;
const RESTORE_EVERY = 3;

/** pg_dump waits for a lock this long; then what holds it is ended. */
const LOCK_PATIENCE_MS = 700;

/** Five segments of the product's size, a row in each block; and some of fewer blocks, as most is stored beside the heap. */
const LARGE = `
CREATE TABLE large (id int, v int, pad text) WITH (fillfactor = 10);
INSERT INTO large SELECT g, 0, pg_catalog.repeat('x', 500) FROM generate_series(1, 2400) g;
CREATE TABLE letters (id int, v int, body text) WITH (fillfactor = 10);
ALTER TABLE letters ALTER body SET STORAGE EXTERNAL;
INSERT INTO letters SELECT g, 0, pg_catalog.repeat(pg_catalog.md5(g::text), 300) FROM generate_series(1, 600) g;
VACUUM (FREEZE) large, letters;
CHECKPOINT`;

test(
  "cairn backup takes over what a full read in the same snapshot gives",
  { timeout: roundCount * ROUND_TIMEOUT_MS },
  async () => {
    process.stdout.write(`CAIRN_TEST_SEED=${seed}, ${roundCount} rounds\n`);
    await using world = await World.openFilled(18, { fsync: "on" });
    for (const statement of LARGE.split(";")) await (await world.session("control")).query(statement);
    await using repository = await TestRepository.create();
    const dice = new Dice(seed);
    const backup = (isReread: boolean): Promise<BackupReceipt> => {
      const reading = { ...READING_DEFAULTS, checkpoint: "now", rereadEvery: 0, isReread } as const;
      return released(world, dice, () => repository.backup(world.server.uri(DATABASE), { reading }));
    };
    let [takenOverCount, comparedCount, objectCount] = [0, 0, 0];
    for (let round = 1; round <= roundCount; round += 1) {
      if (dice.chance(0.2)) await world.restart("immediate");
      await changeSomething(world, dice);
      const endHurry = dice.chance(0.5) ? await startHurry(world, dice) : null;
      const { reading } = await backup(false);
      takenOverCount += reading.takenOverSegmentCount;
      await endHurry?.();
      await changeSomething(world, dice);
      const { selfCheck } = (await backup(true)).reading;
      const { differences = [], largeObjectDifferences = [] } = selfCheck ?? {};
      expect([...differences, ...largeObjectDifferences], `round ${round}`).toEqual([]);
      objectCount += selfCheck?.comparedLargeObjectCount ?? 0;
      comparedCount += selfCheck?.comparedSegmentCount ?? 0;
      if (round % RESTORE_EVERY !== 0) continue;
      await endAll(world, dice);
      await expectEqual(world, repository, (await backup(false)).id);
    }
    const compared = `${comparedCount} and ${objectCount} large objects compared in one snapshot`;
    process.stdout.write(`${takenOverCount} segments taken over, ${compared}\n`);
    expect(takenOverCount).toBeGreaterThan(roundCount);
    expect(comparedCount).toBeGreaterThan(roundCount);
  },
);

async function changeSomething(world: World, dice: Dice): Promise<void> {
  await work(world, dice, dice.between(0, 5));
  await world.tries("definer", `UPDATE large SET v = v + 1 WHERE id % 2400 = ${dice.below(2400)}`);
  const id = 1 + dice.below(600);
  const change = dice.chance(0.5) ? "v = v + 1" : "body = pg_catalog.reverse(body)";
  await world.tries("definer", `UPDATE letters SET ${change} WHERE id = ${id}`);
}

async function released<T>(world: World, dice: Dice, run: () => Promise<T>): Promise<T> {
  let ended = Promise.resolve();
  const timer = setTimeout(() => {
    ended = endAll(world, dice);
  }, LOCK_PATIENCE_MS);
  try {
    return await run();
  } finally {
    clearTimeout(timer);
    await ended;
  }
}

async function expectEqual(world: World, repository: TestRepository, id: string): Promise<void> {
  await using copy = await world.server.createDatabase();
  await repository.restore(id, copy.uri);
  const source = {
    ...copy,
    name: DATABASE,
    uri: world.server.uri(DATABASE),
    psql: (sql: string | Uint8Array) => world.server.psql(DATABASE, sql),
  };
  const { differences } = await compareDatabases(source, copy);
  expect(differences, formatDifferences(differences)).toEqual([]);
}

// LOCK and COPY go by names, what is taken over by OIDs.
test("two tables exchange their names while cairn backup waits for the lock: the next one takes over the right rows", async () => {
  await using server = await IncrementalBench.startServer(18);
  await using bench = await IncrementalBench.on(server);
  for (const statement of EXCHANGEABLE.split(";")) await bench.source.psql(statement);
  await using other = await connect(server, bench.source.name, "other");
  await other.query(
    `BEGIN; ALTER TABLE one RENAME TO aside; ALTER TABLE two RENAME TO one; ALTER TABLE aside RENAME TO two`,
  );
  const running = bench.backup();
  const waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock')";
  for (let isWaiting = false; !isWaiting;) isWaiting = (await bench.source.psql(waits)) === "t";
  await other.query("COMMIT");
  await running;
  await bench.expectEqual((await bench.backup()).id);
});

const EXCHANGEABLE = `
CREATE TABLE one (a int); INSERT INTO one VALUES (1), (2), (3); VACUUM (FREEZE) one;
CREATE TABLE two (a int); INSERT INTO two VALUES (9); VACUUM (FREEZE) two;
CHECKPOINT`;
