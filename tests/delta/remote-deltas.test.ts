// Deltas in a repository behind a network: a real S3 server, its requests counted, and one that gives no chunks back.

import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { backUpDatabase, type BackupReceipt, type BackupSettings } from "../../src/operations/backup/index.ts";
import { runExport } from "../../src/operations/export/index.ts";
import { createRepository, openRepository } from "../../src/repository/index.ts";
import { ForwardingStorage, openStorage, type Storage } from "../../src/storage/index.ts";
import { stockRestore, TestRepository } from "../matrix/support.ts";
import { openFaultProxy, type FaultProxy, type PlannedFault } from "../storage/fault-proxy.ts";
import { s3Servers, surroundingsOf, uriAt, type S3Server } from "../storage/s3-servers.ts";
import { type OwnServer, ownServer, type TestDatabase } from "../support/servers.ts";

const ROW_COUNT = 75_000;
/** Longer ranges of packs are chunks of rows. */
const PAGE_BYTES_MAX = 50_000;
const ALWAYS = 1_000_000;

/** About 17 MB of rows that do not compress away. */
const LEDGER = `
  CREATE TABLE ledger (id int PRIMARY KEY, who text, note text);
  INSERT INTO ledger SELECT i, md5(i::text), md5('a' || i) || repeat('filler ', 12) || md5('b' || i) || md5('c' || i)
    FROM generate_series(1, ${ROW_COUNT}) i;`;
const CONTENTS = "SELECT count(*), sum(hashtextextended(l::text, 0)) FROM ledger l";

/** Changes 1 % of the rows, here and there. */
const touch = (round: number): string =>
  `UPDATE ledger SET note = md5(note) || note WHERE (hashint4(id) & 65535) % 100 = ${round}`;

/** A storage whose chunks of rows come from another place than all else. */
class ChunksFrom extends ForwardingStorage {
  readonly #chunks: Storage;

  constructor(inner: Storage, chunks: Storage) {
    super(inner);
    this.#chunks = chunks;
  }

  override async read(...[name, range, signal]: Parameters<Storage["read"]>): Promise<Uint8Array> {
    const isChunk = name.startsWith("packs/") && (range?.lengthBytes ?? 0) > PAGE_BYTES_MAX;
    return await (isChunk ? this.#chunks : this.inner).read(name, range, signal);
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks[Symbol.asyncDispose]();
    await super[Symbol.asyncDispose]();
  }
}

describe.each(s3Servers())("deltas in S3 on $name", ({ start }) => {
  const disposables = new AsyncDisposableStack();
  const place = `deltas/${randomBytes(6).toString("hex")}`;
  let s3: S3Server;
  let proxy: FaultProxy;
  let pg: OwnServer; // alone: what other tests do to a shared one shows in warnings
  let source: TestDatabase;
  let local: TestRepository;
  let first: BackupReceipt;

  beforeAll(async () => {
    s3 = disposables.use(await start());
    proxy = disposables.use(await openFaultProxy(s3.endpoint));
    pg = disposables.use(await ownServer(18));
    await pg.start();
    source = disposables.use(await pg.createDatabase());
    local = disposables.use(await TestRepository.create());
    await source.psql(LEDGER);
    const { repository } = await createRepository(await storageAt(s3.endpoint), { encryption: { kind: "none" } });
    await repository[Symbol.asyncDispose]();
    first = await backUp(await storageAt(s3.endpoint));
  });
  afterAll(() => disposables.disposeAsync());

  async function storageAt(endpoint: string): Promise<Storage> {
    return await openStorage(uriAt(endpoint, place), surroundingsOf(s3.keys));
  }

  async function backUp(storage: Storage, settings: Partial<BackupSettings> = {}): Promise<BackupReceipt> {
    await using repository = await openRepository(storage);
    return await backUpDatabase(local.context(), repository, local.settings(source.uri, settings));
  }

  /** With all chunks that are read back meeting that fault. */
  async function backUpMeeting(fault: PlannedFault): Promise<BackupReceipt> {
    proxy.plan(fault);
    return await backUp(new ChunksFrom(await storageAt(s3.endpoint), await storageAt(proxy.endpoint)));
  }

  /** Restored by the stock pg_restore. */
  async function expectStockRestores(id: string): Promise<void> {
    const file = local.file(id);
    await runExport(local.context(), {
      repository: { ...local.access, location: uriAt(s3.endpoint, place), givenPassphrase: null, storage: access() },
      reference: id,
      file,
      overwrite: false,
      format: "custom",
      archiveVersion: null,
      compression: null,
    });
    await using copy = await pg.createDatabase();
    expect(await stockRestore(pg.tools, file, copy.uri)).toMatchObject({ errors: [] });
    expect(await copy.psql(CONTENTS)).toBe(await source.psql(CONTENTS));
  }

  function access(): NonNullable<TestRepository["access"]["storage"]> {
    const caps = { uploadBytesPerSecond: undefined, downloadBytesPerSecond: undefined };
    return { environment: s3.keys, ...caps, onRetry: () => {}, signal: new AbortController().signal };
  }

  test("a backup stores what changed, and reads back in few requests what that leans on", async () => {
    await source.psql(touch(1));
    proxy.plan();
    const second = await backUp(await storageAt(proxy.endpoint));
    expect(second.newBytes).toBeLessThan(first.newBytes * 0.06);
    const { chunkCount, fetchedBytes, requestCount, withoutBecause } = second.deltas;
    expect(chunkCount).toBeGreaterThan(5);
    expect(withoutBecause).toBeNull();
    const gets = proxy.seen.filter((request) => request.startsWith("GET ") && request.includes("/packs/"));
    process.stdout.write(
      `deltas behind a network: ${chunkCount} deltas, ${fetchedBytes} bytes of ${first.newBytes} read back in ` +
        `${requestCount} requests (${gets.length} for packs in all); ${second.newBytes} bytes stored\n`,
    );
    expect(requestCount).toBeLessThan(chunkCount); // one by one it would be one more than that for each pack
    expect(gets.length - requestCount).toBeLessThanOrEqual(4); // the parent's lists
    expect(gets.length).toBeGreaterThan(requestCount);
    expect(fetchedBytes).toBeLessThan(first.newBytes * 1.1);
    await expectStockRestores(second.id);

    await source.psql(`VACUUM ledger; ${touch(2)}`);
    const third = await backUp(await storageAt(proxy.endpoint));
    expect(third.newBytes).toBeLessThan(first.newBytes * 0.07);
    await expectStockRestores(third.id);
  });

  const PASSING: readonly PlannedFault[] = [
    { kind: "cut-body", bytes: 1000, method: "GET", times: 2 },
    { kind: "reset", method: "GET", times: 2 },
  ];
  test.each(PASSING)("deltas are made all the same where $kind passes", async (fault) => {
    await source.psql(touch(3));
    const { deltas, warnings } = await backUpMeeting(fault);
    expect(proxy.unmet()).toBe(0);
    expect(deltas.chunkCount).toBeGreaterThan(5);
    expect(warnings).toEqual([]);
  });

  const LASTING: readonly (readonly [string, PlannedFault, RegExp])[] = [
    ["may not be read", { kind: "status", status: 403, code: "AccessDenied", method: "GET" }, /AccessDenied/],
    ["lie in an archive", { kind: "status", status: 403, code: "InvalidObjectState", method: "GET" }, /in an archive/],
    ["meet a dead network", { kind: "reset", method: "GET" }, /broke off|cannot be reached/],
  ];
  test.each(LASTING)("full chunks are stored, and it is said once, where chunks %s", async (_, fault, reason) => {
    await source.psql(touch(4));
    const receipt = await backUpMeeting({ ...fault, times: ALWAYS });
    expect(receipt.warnings).toEqual([expect.stringMatching(/^chunks that deltas lean on could not be read back/)]);
    expect(receipt.warnings[0]).toMatch(reason);
    expect(receipt.deltas).toMatchObject({ chunkCount: 0, fetchedBytes: 0 });
    expect(receipt.deltas.requestCount).toBeLessThanOrEqual(6); // three, and what was under way
    expect(receipt.newBytes).toBeGreaterThan(first.newBytes * 0.5);
    await expectStockRestores(receipt.id);
  });

  test("everything is stored anew, and it is said once, where no pack may be read", async () => {
    proxy.plan({ kind: "status", status: 403, code: "AccessDenied", method: "GET", url: "/packs/", times: ALWAYS });
    const receipt = await backUp(await storageAt(proxy.endpoint));
    expect(receipt.warnings).toEqual([expect.stringMatching(/^the lists of restore point \S+ could not be read/)]);
    expect(receipt.newBytes).toBeGreaterThan(first.newBytes * 0.9);
    await expectStockRestores(receipt.id);
    expect((await backUp(await storageAt(s3.endpoint))).newBytes).toBeLessThan(first.newBytes * 0.05);
  });

  test("--deltas never reads none back", async () => {
    await source.psql(touch(5));
    const { deltas, newBytes } = await backUp(await storageAt(s3.endpoint), { deltas: "never" });
    expect(deltas).toMatchObject({ chunkCount: 0, fetchedBytes: 0, requestCount: 0, withoutBecause: null });
    expect(newBytes).toBeGreaterThan(first.newBytes * 0.5);
  });
});
