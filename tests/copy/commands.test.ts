// A second repository, made with `cairn init --like` or not: restore points of real databases are copied, the first
// repository is lost, everything is restored from the second and compared by the stock tools; a whole server too; and the
// commands as a user starts them.

import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runClusterBackup } from "../../src/operations/backup-cluster/index.ts";
import { runCheck } from "../../src/operations/check/index.ts";
import { runCopy, type CopyReport } from "../../src/operations/copy/index.ts";
import { runClusterRestore } from "../../src/operations/restore-cluster/index.ts";
import { createRepository, type Repository } from "../../src/repository/index.ts";
import { openLocalStorage } from "../../src/storage/index.ts";
import { clusterSettings, stockGlobals } from "../cluster/support.ts";
import { expectEqual, FaultBench } from "../faults/support.ts";
import { TestRepository } from "../matrix/support.ts";
import { ownServer, server } from "../support/servers.ts";
import type { TestDatabase, TestServer } from "../support/servers.ts";

const CHEAP = { n: 16, r: 1, p: 1 };

// Random text does not compress; 512 blocks are a segment.
const FILL = `
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT n, md5(n::text) || md5(random()::text) || md5(random()::text) FROM generate_series(1, 100000) n;
CREATE TABLE items (id bigserial PRIMARY KEY, order_id int REFERENCES orders, price numeric DEFAULT 1.5);
INSERT INTO items (order_id) SELECT n % 100 + 1 FROM generate_series(1, 2000) n;
CREATE VIEW dear AS SELECT * FROM items WHERE price > 1;
CREATE TABLE nothing (id int);
SELECT lo_from_bytea(0, decode(repeat('cafe', 50000), 'hex'));
VACUUM ANALYZE;`;
const CHANGE = "UPDATE items SET price = 2 WHERE id < 100; INSERT INTO nothing VALUES (1); VACUUM";

let pg: TestServer;
let source: TestDatabase;
beforeAll(async () => {
  pg = await server(18);
  source = await pg.createDatabase();
  await source.psql(FILL);
});
afterAll(async () => await source?.[Symbol.asyncDispose]());

/** Two repositories that open quickly. */
class Pair implements AsyncDisposable {
  readonly first: TestRepository;
  readonly second: TestRepository;

  private constructor(first: TestRepository, second: TestRepository) {
    this.first = first;
    this.second = second;
  }

  static async create(isLike: boolean): Promise<Pair> {
    const [first, second] = [await TestRepository.create(), await TestRepository.create()];
    const made = await renew(first, null);
    await renew(second, isLike ? made : null);
    return new Pair(first, second);
  }

  async copy(references: readonly string[], isDryRun = false): Promise<CopyReport> {
    const [from, to] = [this.first.access, this.second.access];
    const selection = { references, isAll: references.length === 0, last: null, tags: [] };
    return await runCopy(this.first.context(), { from, to, ...selection, isDryRun, allowsUnencrypted: false });
  }

  async loseFirst(): Promise<void> {
    await rm(this.first.access.location, { recursive: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const repository of [this.first, this.second]) await repository[Symbol.asyncDispose]();
  }
}

/** Makes the repository again with a passphrase that is cheap to try; like another one where that is given. */
async function renew({ access }: TestRepository, like: Repository | null): Promise<Repository> {
  await rm(access.location, { recursive: true });
  const storage = openLocalStorage(access.location);
  const options = {
    encryption: { kind: "passphrase", passphrase: access.givenPassphrase! },
    scryptCost: CHEAP,
  } as const;
  const { repository } =
    like === null ? await createRepository(storage, options) : await like.createLike(storage, options);
  return repository;
}

describe.each([true, false])("copy, the second repository made like the first: %s,", (isLike) => {
  test("brings restore points over, later only what is new; the first one lost, all is restored from the second", async () => {
    await using pair = await Pair.create(isLike);
    const { first, second } = pair;
    const options = { lineage: "shop", tags: { kind: "test" } };
    const earlier = await first.backup(source.uri, options);
    const whole = await pair.copy([]);
    expect(whole).toMatchObject({ isAlike: isLike, copiedCount: 1, alreadyThereCount: 0, failedCount: 0 });
    expect(whole.movedPackCount > 0).toBe(isLike);
    expect(whole.resealedChunkCount === 0).toBe(isLike);
    await source.psql(CHANGE);
    const later = await first.backup(source.uri, options);
    expect(await pair.copy(["shop"], true)).toMatchObject({ copiedCount: 1, alreadyThereCount: 1, bytesWritten: 0 });
    const news = await pair.copy(["shop"]);
    expect(news).toMatchObject({ copiedCount: 1, alreadyThereCount: 1 });
    // What the second backup stored, once more; not what it took over.
    expect(news.bytesRead).toBeLessThan(later.newBytes * 1.5 + 100_000);
    expect(news.bytesWritten).toBeLessThan(later.newBytes * 1.5 + 100_000);
    expect(news.bytesRead).toBeLessThan(earlier.newBytes / 4);
    expect(await pair.copy([])).toMatchObject({ copiedCount: 0, alreadyThereCount: 2, bytesWritten: 0 });

    await pair.loseFirst();
    const { restorePoints } = await second.list();
    expect(restorePoints.map(({ id }) => id)).toEqual([later.id, earlier.id]);
    const { snapshotTakenAt } = later;
    expect(restorePoints[0]).toMatchObject({
      snapshotTakenAt,
      tags: options.tags,
      copiedFrom: { restorePointId: later.id },
    });
    expect(await second.verify(earlier.id)).toMatchObject({ isIntact: true, damage: [] });
    await using restored = await pg.createDatabase();
    await second.restore("latest", restored.uri);
    await expectEqual({ server: pg, name: source.name }, { server: pg, name: restored.name });
    // A backup straight into the second repository goes on from there.
    const third = await second.backup(source.uri, options);
    expect(third).toMatchObject({ parentId: later.id, reusedBytes: third.sealedBytes });
    const settings = { repository: second.access, readFraction: 1 };
    expect((await runCheck(second.context(), settings)).findings).toEqual([]);
  });
});

test(
  "copy of a whole server: its databases and roles, restored on one that has nothing of it",
  { timeout: 120_000 },
  async () => {
    await using pair = await Pair.create(true);
    await using own = await ownServer(18);
    const { first, second } = pair;
    const make = "CREATE ROLE app LOGIN PASSWORD 'secret'; CREATE DATABASE shop OWNER app; CREATE DATABASE books";
    await own.psql("postgres", make);
    for (const name of ["shop", "books"]) {
      await own.psql(
        name,
        `CREATE TABLE t AS SELECT '${name}' AS name, generate_series(1, 1000) AS id; ALTER TABLE t OWNER TO app`,
      );
    }
    const settings = clusterSettings(first, own.uri("postgres"), {
      lineage: "prod",
      excludedDatabases: ["template1", "postgres"],
    });
    const cluster = await runClusterBackup(first.context(), settings);
    const report = await pair.copy(["prod"]);
    expect(report).toMatchObject({ copiedCount: 3, failedCount: 0 });
    expect(report.restorePoints.at(-1)).toMatchObject({ id: cluster.id, isCluster: true });
    await pair.loseFirst();
    const globals = await stockGlobals(own);
    await own.psql("postgres", "DROP DATABASE shop");
    await own.psql("postgres", "DROP DATABASE books");
    await own.psql("postgres", "DROP ROLE app");
    const restored = await runClusterRestore(second.context(), {
      repository: second.access,
      reference: cluster.id,
      target: own.uri("postgres"),
      jobs: 2,
      allowsOlderServer: false,
      tablespaceMapping: {},
    });
    expect(restored).toMatchObject({ isComplete: true, rowCount: 2000 });
    expect(await stockGlobals(own)).toBe(globals);
    for (const name of ["shop", "books"]) {
      expect(await own.psql(name, `SELECT count(*), sum(id) FROM t WHERE name = '${name}'`)).toBe("1000|500500");
    }
  },
);

test("cairn init --like and cairn copy, as a user starts them; what is damaged is named, the rest copied, exit status 1", async () => {
  const other = "another passphrase 12";
  await using first = await TestRepository.create();
  await renew(first, null);
  await using bench = await FaultBench.create({ repository: "none" });
  await using small = await pg.createDatabase();
  await small.psql("CREATE TABLE t AS SELECT generate_series(1, 10) AS id");
  const damaged = await first.backup(small.uri, { lineage: "one" });
  await flipPacks(first.access.location);
  const good = await first.backup(small.uri, { lineage: "two" });

  const { givenPassphrase: passphrase, location } = first.access;
  const second = bench.file("second");
  const init = ["init", "--repo", second, "--like", location, "--recovery-kit", bench.file("kit")];
  await bench.succeeds(init, { environment: { CAIRN_PASSPHRASE: other, CAIRN_LIKE_PASSPHRASE: passphrase! } });
  const opens = { CAIRN_REPOSITORY: location, CAIRN_PASSPHRASE: passphrase! };
  const environment = { ...opens, CAIRN_TO_REPOSITORY: second, CAIRN_TO_PASSPHRASE: other };
  const outcome = await bench.run(["copy", "--all"], { environment });
  expect(outcome.status).toBe(1);
  expect(outcome.errors).toContain(`could not copy ${damaged.id}: could not read`);
  expect(outcome.output).toContain("Copied 1 restore point. COULD NOT COPY 1.");
  const onSecond = { environment: { CAIRN_REPOSITORY: second, CAIRN_PASSPHRASE: other } };
  const { output } = await bench.succeeds(["list"], onSecond);
  expect(output).toMatch(new RegExp(`${good.id} .*copied 20\\d\\d-`));
  expect(output).not.toContain(damaged.id);
  // The recovery kit of either opens both.
  const groups = (await readFile(bench.file("kit"), "utf8")).match(/\b[0-9A-Z]{8}(?:-[0-9A-Z]{8})+/g) ?? [];
  const key = groups.join("-");
  const byKit = { environment: { CAIRN_REPOSITORY: location, CAIRN_PASSPHRASE: undefined, CAIRN_RECOVERY_KEY: key } };
  expect((await bench.succeeds(["list", "--json"], byKit)).json().restorePoints).toHaveLength(2);
});

/** Changes a byte in every pack. */
async function flipPacks(repository: string): Promise<void> {
  const packs = join(repository, "packs");
  for (const folder of await readdir(packs)) {
    for (const name of await readdir(join(packs, folder))) {
      const bytes = await readFile(join(packs, folder, name));
      bytes[80]! ^= 1;
      await writeFile(join(packs, folder, name), bytes);
    }
  }
}
