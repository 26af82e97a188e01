// What deltas lean on is read back while a backup runs: when that hangs, the backup can still be cancelled, and when it is
// damaged or does not come, the backup is whole without it.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { OperatingError } from "../../src/base/errors.ts";
import { backUpDatabase, type BackupReceipt } from "../../src/operations/backup/index.ts";
import type { DeltaChoice } from "../../src/operations/backup/delta-bases.ts";
import { openRepository } from "../../src/repository/index.ts";
import { openLocalStorage, type Storage } from "../../src/storage/index.ts";
import { TestRepository } from "../matrix/support.ts";
import { type OwnServer, ownServer, type TestDatabase } from "../support/servers.ts";

/** Longer ranges of packs are chunks of rows. */
const PAGE_BYTES_MAX = 50_000;

interface Where {
  readonly isLocal?: boolean;
  readonly isCharged?: boolean;
}

/** A storage that gives chunks as `readChunk` says, and is where it is said. */
function withChunks(storage: Storage, readChunk: () => Promise<Uint8Array>, where: Where): Storage {
  const read: Storage["read"] = async (name, range, signal) => {
    if (name.startsWith("packs/") && (range?.lengthBytes ?? 0) > PAGE_BYTES_MAX) return await readChunk();
    return await storage.read(name, range, signal);
  };
  return new Proxy(storage, {
    get: (target, property) => {
      if (property === "read") return read;
      if (property === "isLocal") return where.isLocal ?? true;
      if (property === "isReadingCharged") return where.isCharged ?? false;
      const value: unknown = Reflect.get(target, property);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

describe("a backup that reads back what deltas lean on", () => {
  const disposables = new AsyncDisposableStack();
  let pg: OwnServer; // alone: what other tests do to a shared one shows in warnings
  let source: TestDatabase;
  let repository: TestRepository;

  beforeAll(async () => {
    pg = disposables.use(await ownServer(18));
    await pg.start();
    source = disposables.use(await pg.createDatabase());
    repository = disposables.use(await TestRepository.create({ isEncrypted: false }));
    await source.psql(`CREATE TABLE t AS SELECT i AS id, md5(i::text) || md5('a' || i) AS word
      FROM generate_series(1, 60000) i`);
    await repository.backup(source.uri);
  });
  beforeEach(async () => {
    await source.psql("UPDATE t SET word = word || '!' WHERE id % 500 = 7");
  });
  afterAll(() => disposables.disposeAsync());

  async function backUp(
    readChunk: () => Promise<Uint8Array>,
    { signal, deltas, ...where }: Where & { readonly signal?: AbortSignal; readonly deltas?: DeltaChoice } = {},
  ): Promise<BackupReceipt> {
    const storage = withChunks(openLocalStorage(repository.access.location), readChunk, where);
    await using opened = await openRepository(storage);
    return await backUpDatabase(
      { ...repository.context(), ...(signal && { signal }) },
      opened,
      repository.settings(source.uri, { deltas }),
    );
  }

  test("ends when it is cancelled while it waits for one", { timeout: 60_000 }, async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    let askedCount = 0;
    const readChunk = async (): Promise<never> => {
      askedCount += 1;
      setTimeout(() => controller.abort(reason), 200);
      return await new Promise(() => {});
    };
    await expect(backUp(readChunk, { signal: controller.signal })).rejects.toBe(reason);
    expect(askedCount).toBeGreaterThan(0);
    expect((await repository.list()).restorePoints.length).toBe(1);
    const sessions = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`;
    await expect.poll(async () => await source.psql(sessions), { timeout: 20_000 }).toBe("0");
  });

  test.each(["corrupt", "not_found"] as const)("stores full chunks when one is %s", async (code) => {
    let askedCount = 0;
    const receipt = await backUp(async () => {
      askedCount += 1;
      throw new OperatingError(code, "for this test");
    });
    expect(askedCount).toBeGreaterThan(0);
    expect(receipt.deltas.chunkCount).toBe(0);
    expect(receipt.warnings.join()).toMatch(
      /^restore point \S+ is damaged: .*could not be read back \(public\.t: .*for this test\)$/,
    );
    const marked = (await repository.list()).restorePoints.find(({ id }) => id === receipt.parentId);
    expect(marked).toMatchObject({ isDamaged: true });
    await using copy = await pg.createDatabase();
    expect(await repository.restore(receipt.id, copy.uri)).toMatchObject({ isComplete: true });
    const contents = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM t";
    expect(await copy.psql(contents)).toBe(await source.psql(contents));
  });

  const STORAGES: readonly (readonly [OperatingError["code"], boolean])[] = [
    ["storage_failed", true],
    ["permission_denied", false],
    ["connection_failed", false],
  ];
  test.each(STORAGES)("stores full chunks when the storage says %s; local: %s", async (code, isLocal) => {
    let askedCount = 0;
    const readChunk = (): Promise<never> => {
      askedCount += 1;
      return Promise.reject(new OperatingError(code, "for this test"));
    };
    const receipt = await backUp(readChunk, { isLocal });
    expect(askedCount).toBeGreaterThan(0);
    expect(receipt.deltas.chunkCount).toBe(0);
    expect(receipt.warnings).toEqual([
      expect.stringMatching(
        /^chunks that deltas lean on could not be read back, whole ones were stored: .*for this test$/,
      ),
    ]);
    const parent = (await repository.list()).restorePoints.find(({ id }) => id === receipt.parentId);
    expect(parent).toMatchObject({ isDamaged: false });
    await using copy = await pg.createDatabase();
    expect(await repository.restore(receipt.id, copy.uri)).toMatchObject({ isComplete: true });
  });

  test.each([
    ["never", "disk"],
    ["auto", "charged"],
  ] as const)("reads none back with --deltas %s (%s)", async (deltas, where) => {
    const readChunk = (): Promise<never> => Promise.reject(new Error("a chunk was read"));
    const { deltas: counts } = await backUp(readChunk, { isLocal: where === "disk", isCharged: true, deltas });
    expect(counts).toMatchObject({ chunkCount: 0, rawBytes: 0, storedBytes: 0, fetchedBytes: 0, requestCount: 0 });
    if (deltas === "auto") {
      expect(counts.withoutBecause).toMatch(/^reading back may be charged for/);
      expect(counts.wholeChunkCount).toBeGreaterThan(0);
    } else {
      expect(counts).toMatchObject({ withoutBecause: null, wholeChunkCount: 0 });
    }
  });
});
