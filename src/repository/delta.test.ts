// Delta chunks: stored, read, verified and checked; damage in a delta and in what it leans on; hostile references; what a
// backup takes over. Pruning and copying them: prune/prune-deltas.test.ts, copy/copy-deltas.test.ts.

import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { constants, createZstdCompress, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { ZstdOptions } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { OperatingError } from "../base/errors.ts";
import { openLocalStorage } from "../storage/index.ts";
import { packObjectName } from "./identifiers.ts";
import type { ChunkReference, Repository, RestorePoint, Run } from "./index.ts";
import { createRepository, openRepository } from "./index.ts";
import type { TakenOver } from "./leftover-packs.ts";
import { DAY_MS, PruneBench, rows } from "./prune/prune.fixture.ts";
import { backUp, CHEAP_SCRYPT, chunkOf, deltaOf, FACTS, PASSPHRASE, readTables, temporaryFolder, TOC } from "./repository.fixture.ts"; // prettier-ignore
import type { TableTexts } from "./repository.fixture.ts";
import { decode } from "./sealed-object.ts";

const SEEDS = ["a", "b", "c", "d", "e", "f"];
const FIRST: TableTexts = { orders: SEEDS.map((seed) => rows(seed)), items: [rows("i"), rows("j")] };
/** Two segments of orders and one of items with a row more. */
const SECOND: TableTexts = {
  orders: FIRST["orders"]!.map((text, index) => (index % 3 === 1 ? `${text}one more\n` : text)),
  items: [FIRST["items"]![0]!, `first\n${FIRST["items"]![1]!}`],
};
const THIRD: TableTexts = { ...SECOND, orders: SECOND["orders"]!.map((text, index) => (index === 1 ? `${text}and more\n` : text)) }; // prettier-ignore

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let bench: PruneBench;
beforeEach(async () => {
  folder = await temporaryFolder();
  bench = await PruneBench.create(join(folder.path, "r"));
  bench.makesDeltas = true;
});
afterEach(async () => await folder[Symbol.asyncDispose]());

async function chunksOf(restorePoint: RestorePoint, name = "orders"): Promise<ChunkReference[]> {
  const chunks: ChunkReference[] = [];
  for await (const segment of restorePoint.segments(restorePoint.findRelation({ namespace: "public", name })!)) {
    chunks.push(...segment.chunks);
  }
  return chunks;
}

async function flip({ pack }: Pick<ChunkReference, "pack">, offset: number): Promise<void> {
  const path = join(bench.path, packObjectName(pack));
  const bytes = await readFile(path);
  bytes[offset]! ^= 1;
  await writeFile(path, bytes);
}

async function drain(items: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of items) count += 1;
  return count;
}

async function openedSecond(): Promise<{ repository: Repository; restorePoint: RestorePoint; delta: ChunkReference }> {
  await bench.backUp(FIRST);
  const id = await bench.backUp(SECOND);
  const repository = await bench.open();
  const restorePoint = await repository.openRestorePoint(id);
  const delta = (await chunksOf(restorePoint))[1]!;
  return { repository, restorePoint, delta };
}

describe("a delta chunk", () => {
  test.each([true, false])("is stored, read, verified and checked, encrypted: %s", async (isEncrypted) => {
    const storage = openLocalStorage(join(folder.path, "other"));
    const encryption = isEncrypted ? ({ kind: "passphrase", passphrase: PASSPHRASE } as const) : ({ kind: "none" } as const); // prettier-ignore
    const { repository } = await createRepository(storage, { encryption, scryptCost: CHEAP_SCRYPT, packSizeBytes: 16 * 1024 }); // prettier-ignore
    const first = await backUp(repository, { tables: FIRST });
    const { id, totals } = await backUp(repository, { tables: SECOND, makesDeltas: true });
    const restorePoint = await repository.openRestorePoint(id);
    expect(await readTables(restorePoint)).toEqual(SECOND);
    const chunks = await chunksOf(restorePoint);
    expect(chunks.map(({ encoding }) => encoding)).toEqual(["zstd", "zstd-delta", "zstd", "zstd", "zstd-delta", "zstd"]); // prettier-ignore
    const texts: string[] = [];
    for await (const chunk of restorePoint.readChunks(chunks)) {
      expect(chunk.encoding).toBe(chunk.reference.base === null ? "zstd" : "none");
      texts.push(Buffer.from(await restorePoint.decodeChunk(chunk)).toString());
    }
    expect(texts).toEqual(SECOND["orders"]);
    // Sums count what the lists name as chunks, not what these lean on; the packs of that are needed all the same.
    const { manifest } = restorePoint;
    expect(manifest.relations[0]!.sealedBytes).toBe(chunks.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0));
    expect(totals).toMatchObject({ chunks: 8, reusedChunks: 5 });
    const firstPacks = (await repository.openRestorePoint(first.id)).manifest.packs.map(([pack]) => pack);
    expect(firstPacks).toContain(chunks[1]!.base!.pack);
    const named = manifest.relations[0]!.packs.map((index) => manifest.packs[index]![0]);
    expect(named).toContain(chunks[1]!.base!.pack);
    expect(await repository.verifyRestorePoint(restorePoint)).toMatchObject({ isWhole: true, chunkCount: 8, damage: [] }); // prettier-ignore
    expect((await repository.check({ readFraction: 1 })).findings).toEqual([]);
  });

  test("never leans on a delta: what changes again leans on the same full chunk; unchanged ones are taken over", async () => {
    const { delta, repository } = await openedSecond();
    const id = await bench.backUp(THIRD);
    const { manifest } = await repository.openRestorePoint(id);
    const chunks = await chunksOf(await repository.openRestorePoint(id));
    expect(chunks[1]).toMatchObject({ encoding: "zstd-delta", base: delta.base });
    expect(chunks[4]).toMatchObject({ encoding: "zstd-delta", pack: delta.pack });
    expect(manifest.totals).toMatchObject({ chunks: 8, reusedChunks: 7 });
    expect(manifest.packs.map(([pack]) => pack)).toContain(chunks[4]!.base!.pack);
    await bench.expectWhole();
  });

  test("has the associated data that the format page says, its base's id in it", async () => {
    const storage = openLocalStorage(join(folder.path, "plain"));
    const { repository } = await createRepository(storage, { encryption: { kind: "none" }, packSizeBytes: 16 * 1024 });
    await backUp(repository, { tables: FIRST });
    const { id } = await backUp(repository, { tables: SECOND, makesDeltas: true });
    const delta = (await chunksOf(await repository.openRestorePoint(id)))[1]!;
    const name = packObjectName(delta.pack);
    const object = Buffer.from(await storage.read(name));
    const numbers = Buffer.alloc(16);
    numbers.writeUInt32BE(delta.itemNumber, 0);
    numbers.writeUInt16BE(0x0102, 4);
    numbers.writeBigUInt64BE(BigInt(delta.rawLengthBytes), 8);
    const sealed = object.subarray(delta.offset, delta.offset + delta.lengthBytes);
    const frame = sealed.subarray(0, -16);
    const parts = [Buffer.from("cairn item v1\0\0\0"), object.subarray(0, 64), Buffer.from(repository.id, "hex"), numbers, delta.id, delta.base!.id, Buffer.from(name), frame]; // prettier-ignore
    expect(createHash("sha256").update(Buffer.concat(parts)).digest().subarray(0, 16)).toEqual(sealed.subarray(-16));
    // In the contents, the base's id stands behind the delta's.
    expect(object.indexOf(Buffer.concat([delta.id, delta.base!.id]))).toBeGreaterThan(delta.offset + delta.lengthBytes);
    const base = delta.base!;
    const basePack = await storage.read(packObjectName(base.pack));
    const dictionary = zstdDecompressSync(basePack.subarray(base.offset, base.offset + base.lengthBytes - 16));
    expect(zstdDecompressSync(frame, { dictionary }).toString()).toBe(SECOND["orders"]![1]);
  });

  test("is not stored where the repository does not require its readers to know it", async () => {
    const path = join(bench.path, "cairn.json");
    expect(await readFile(path, "utf8")).toContain('"requiredFeatures": [\n    "delta"\n  ]');
    const { checkConfiguration, decodeConfiguration, encodeConfiguration } = await import("./configuration.ts");
    const { unlockRepository } = await import("./create.ts");
    const unlocked = await unlockRepository(openLocalStorage(bench.path), { passphrase: PASSPHRASE });
    const { features: _, ...without } = unlocked.configuration;
    const bytes = encodeConfiguration(without, unlocked.keyring.current);
    checkConfiguration(decodeConfiguration(bytes), unlocked.keyring.current);
    await writeFile(path, bytes);
    await bench.backUp(FIRST);
    const id = await bench.backUp(SECOND);
    const repository = await bench.open();
    const chunks = await chunksOf(await repository.openRestorePoint(id));
    expect(chunks.map(({ encoding }) => encoding)).not.toContain("zstd-delta");
    await using run = await repository.startRun({ kind: "backup" });
    const chunk = deltaOf(repository.chunkIdSecret, "1\n", chunks[0]!, Buffer.from(FIRST["orders"]![0]!));
    await expect(run.storeChunk(chunk)).rejects.toThrow("a delta leans on a full chunk");
  });
});

describe("damage", () => {
  test("of a base is damage of all that leans on it; the next backup stores both anew", async () => {
    const { delta, repository, restorePoint } = await openedSecond();
    const base = delta.base!;
    for (const offset of [0, 1, base.lengthBytes >> 1, base.lengthBytes - 1]) {
      await flip(base, base.offset + offset);
      await expect(restorePoint.loadChunk(delta)).rejects.toMatchObject({ code: "corrupt" });
      await expect(restorePoint.readChunk(delta)).rejects.toMatchObject({ code: "corrupt" });
      await flip(base, base.offset + offset);
    }
    await flip(base, base.offset + 10);
    const checked = await repository.check({ readFraction: 1 });
    expect(checked.findings.map(({ tables }) => tables)).toEqual([["public.orders"], ["public.orders"]]);
    const { damage } = await repository.verifyRestorePoint(restorePoint);
    const place = { pack: base.pack, itemNumber: base.itemNumber, relation: "public.orders" };
    expect(damage).toMatchObject([place]);
    const id = await bench.backUp(SECOND);
    const now = (await chunksOf(await repository.openRestorePoint(id)))[1]!;
    expect(now).toMatchObject({ encoding: "zstd", base: null });
    expect(now.pack).not.toBe(delta.pack);
    expect(await readTables(await repository.openRestorePoint(id))).toEqual(SECOND);
    expect((await repository.verifyRestorePoint(await repository.openRestorePoint(id))).isWhole).toBe(true);
  });

  test.each([true, false])(
    "of a base that a run finds, marks allowed: %s, stops what leans on it from then on",
    async (isAllowed) => {
      const { delta } = await openedSecond();
      const base = delta.base!;
      await flip(base, base.offset + 10);
      const storage = openLocalStorage(bench.path);
      const put = storage.put.bind(storage);
      storage.put = async (name, ...rest) => {
        if (name.startsWith("marks/") && !isAllowed) throw new OperatingError("permission_denied", "for this test");
        return await put(name, ...rest);
      };
      await using repository = await openRepository(storage, { passphrase: PASSPHRASE });
      const found = { relation: "public.orders", reason: "for this test" };
      const finding = async (leansOnIt: boolean): Promise<unknown> => {
        const { parent } = await repository.continueLineage(FACTS.lineage);
        await using run = await repository.startRun({ kind: "backup", parent, lineageName: FACTS.lineage.name });
        const chunks = await chunksOf(run.parent!);
        const list = run.openSegmentList();
        expect(run.canReuse(chunks[1]!)).toBe(true);
        const chunk = chunks[leansOnIt ? 1 : 0]!;
        await list.add({ firstBlock: 0, blockCount: 8, rowCount: chunk.rowCount, chunks: [chunk] });
        run.noteDamage(base, found);
        run.noteDamage(base, found);
        expect(chunks.map((chunk) => run.canReuse(chunk))).toEqual([true, false, true, true, true, true]);
        expect(run.canReuse(base)).toBe(false);
        expect(run.foundDamage).toHaveLength(1);
        const place = { dumpId: 1, oid: 1, namespace: "public", name: "orders", storage: null, blockCount: 8, segmentBlocks: 8 }; // prettier-ignore
        return await run.commit({ ...FACTS, relations: [{ ...place, ...(await list.finish()) }], largeObjects: [], toc: TOC }); // prettier-ignore
      };
      const failed = { code: "corrupt", retryable: true, message: expect.stringContaining("found damaged") as string };
      await expect(finding(true)).rejects.toMatchObject(failed);
      if (!isAllowed) {
        expect(await finding(false)).toHaveProperty("id");
        return;
      }
      const id = await bench.backUp(SECOND); // asks nothing but the mark
      const restorePoint = await repository.openRestorePoint(id);
      expect((await chunksOf(restorePoint))[1]).toMatchObject({ encoding: "zstd", base: null });
      expect((await repository.verifyRestorePoint(restorePoint)).isWhole).toBe(true);
    },
  );

  test("of a delta is found at its own place, wherever a bit flips", async () => {
    const { delta, repository, restorePoint } = await openedSecond();
    for (let offset = 0; offset < delta.lengthBytes; offset += 1) {
      await flip(delta, delta.offset + offset);
      await expect(restorePoint.loadChunk(delta), `byte ${offset}`).rejects.toMatchObject({ code: "corrupt" });
      await flip(delta, delta.offset + offset);
    }
    await flip(delta, delta.offset + 5);
    const { damage } = await repository.verifyRestorePoint(restorePoint);
    expect(damage).toMatchObject([{ pack: delta.pack, itemNumber: delta.itemNumber, relation: "public.orders" }]);
    expect((await repository.check({ readFraction: 1 })).findings).toHaveLength(1);
    // What it leaned on is right, and a new delta may lean on it.
    const id = await bench.backUp(SECOND);
    const now = (await chunksOf(await repository.openRestorePoint(id)))[1]!;
    expect(now).toMatchObject({ encoding: "zstd-delta", base: delta.base });
    expect(now.pack).not.toBe(delta.pack);
    expect((await repository.verifyRestorePoint(await repository.openRestorePoint(id))).isWhole).toBe(true);
  });

  test("of a pack's contents that name a base is found", async () => {
    const { delta, repository, restorePoint } = await openedSecond();
    const bytes = await readFile(join(bench.path, packObjectName(delta.pack)));
    const contentsBytes = bytes.readUInt32BE(bytes.length - 16);
    for (let offset = bytes.length - 16 - contentsBytes; offset < bytes.length; offset += 7) {
      await flip(delta, offset);
      const { damage } = await repository.verifyRestorePoint(restorePoint, { isMarked: false });
      expect(damage.map(({ pack }) => pack), `byte ${offset}`).toContain(delta.pack); // prettier-ignore
      await flip(delta, offset);
    }
    await bench.expectWhole();
  });
});

/** A frame of a length that its beginning does not tell, so that its window is as wide as was asked for. */
async function inTwoPieces(text: Uint8Array, options: ZstdOptions): Promise<Uint8Array> {
  const stream = createZstdCompress(options);
  const read = buffer(stream);
  stream.write(text.subarray(0, 1000));
  await promisify(stream.flush.bind(stream))();
  stream.end(text.subarray(1000));
  return await read;
}

describe("a hostile reference", () => {
  test("of a delta is refused, whatever it lies about", async () => {
    const { delta, restorePoint } = await openedSecond();
    const [full, , , , other] = await chunksOf(restorePoint);
    const base = delta.base!;
    expect(Buffer.from(await restorePoint.loadChunk(delta)).toString()).toBe(SECOND["orders"]![1]);
    const lies: Record<string, ChunkReference> = {
      "another base": { ...delta, base: { ...full!, base: null } },
      "another base under its id": { ...delta, base: { ...full!, id: base.id } },
      "itself as base": { ...delta, base: { ...delta, encoding: "zstd", base: null } },
      "a delta as base": { ...delta, base: other! },
      "a delta as base, said to be full": { ...delta, base: { ...other!, encoding: "zstd", base: null } },
      "a base of another kind": { ...delta, base: { ...base, kind: "large-objects" } },
      "a shorter base": { ...delta, base: { ...base, rawLengthBytes: base.rawLengthBytes - 1 } },
      "a base of 2 GiB": { ...delta, base: { ...base, rawLengthBytes: 2 ** 31 } },
      "a base in an unknown pack": { ...delta, base: { ...base, pack: base.pack.replace(/\d+$/, "999") } },
      "no base": { ...delta, base: null },
      "a full chunk": { ...delta, encoding: "zstd", base: null },
      "a raw length that is too small": { ...delta, rawLengthBytes: delta.rawLengthBytes - 1 },
      "a raw length that is too large": { ...delta, rawLengthBytes: delta.rawLengthBytes + 1 },
      "a raw length beyond all bounds": { ...delta, rawLengthBytes: 2 ** 40 },
      "a full chunk as a delta": { ...full!, encoding: "zstd-delta", base },
    };
    for (const [lie, reference] of Object.entries(lies)) {
      const code = lie.includes("unknown pack") ? "not_found" : "corrupt";
      await expect(restorePoint.loadChunk(reference), lie).rejects.toMatchObject({ code });
      await expect(drain(restorePoint.readChunks([delta, reference])), lie).rejects.toMatchObject({ code });
    }
  });

  test("of a delta that was really made of another delta is refused all the same", async () => {
    const { delta, repository, restorePoint } = await openedSecond();
    await using run = await repository.startRun({ kind: "backup", parent: restorePoint });
    const plaintext = await restorePoint.loadChunk(delta);
    const asFull: ChunkReference = { ...delta, encoding: "zstd", base: null };
    const second = await run.storeChunk(
      deltaOf(repository.chunkIdSecret, `${SECOND["orders"]![1]!}\n`, asFull, plaintext),
    );
    for (let count = 0; count < 8; count += 1)
      await run.storeChunk(chunkOf(repository.chunkIdSecret, rows(`${count}`)));
    await vi.waitFor(async () => await readFile(join(bench.path, packObjectName(second.pack))));
    await expect(restorePoint.loadChunk({ ...second, base: delta })).rejects.toThrow("its base is no full chunk");
  });

  test("of a base whose pack the manifest does not name is damage to verify and check", async () => {
    const { delta, repository } = await openedSecond();
    // A run of somebody who has the key and no rules: the manifest forgets the packs of the first restore point.
    const run = await repository.startRun({ kind: "backup" });
    const list = run.openSegmentList();
    const own = await run.storeChunk(chunkOf(repository.chunkIdSecret, FIRST["orders"]![1]!));
    const chunk = await run.storeChunk(
      deltaOf(repository.chunkIdSecret, "1\n", own, Buffer.from(FIRST["orders"]![1]!)),
    );
    let asked = 0;
    const forged: ChunkReference = Object.defineProperty({ ...chunk }, "base", {
      get: () => ((asked += 1) <= 2 ? own : delta.base),
    });
    await list.add({ firstBlock: 0, blockCount: 1, rowCount: 1, chunks: [forged] });
    const relation = {
      dumpId: 1,
      oid: 1,
      namespace: "public",
      name: "t",
      storage: null,
      blockCount: 1,
      segmentBlocks: 1,
    };
    const { id } = await run.commit({ ...FACTS, relations: [{ ...relation, ...(await list.finish()) }], largeObjects: [], toc: TOC }); // prettier-ignore
    const restorePoint = await repository.openRestorePoint(id);
    const [read] = await chunksOf(restorePoint, "t");
    expect(read!.base).toMatchObject({ pack: delta.base!.pack });
    expect(restorePoint.manifest.packs.map(([pack]) => pack)).not.toContain(delta.base!.pack);
    const { findings } = await repository.check({ readFraction: 0 });
    expect(findings).toMatchObject([{ restorePointId: id, tables: ["public.t"] }]);
    const { damage } = await repository.verifyRestorePoint(restorePoint, { isMarked: false });
    expect(damage).toMatchObject([{ pack: delta.base!.pack, relation: "public.t" }]);
  });

  test("of a delta decodes within bounds: window, raw length, base", async () => {
    const base = Buffer.from(rows("base", 100_000));
    const text = Buffer.concat([base, Buffer.from("more\n")]);
    const item = { encoding: "zstd-delta", itemNumber: 0, rawLengthBytes: text.length } as const;
    const frame = (params: Record<number, number>): Uint8Array => zstdCompressSync(text, { dictionary: base, params: { [constants.ZSTD_c_checksumFlag]: 1, ...params } }); // prettier-ignore
    const right = frame({});
    expect(await decode("x", item, right, base)).toEqual(text);
    await expect(decode("x", item, right)).rejects.toThrow("here is no base");
    await expect(decode("x", item, right, Buffer.alloc(0))).rejects.toMatchObject({ code: "corrupt" });
    const otherBase = Buffer.from(base);
    otherBase.fill(48, 1000);
    await expect(decode("x", item, right, otherBase)).rejects.toMatchObject({ code: "corrupt" });
    await expect(decode("x", { ...item, rawLengthBytes: text.length - 1 }, right, base)).rejects.toMatchObject({ code: "corrupt" }); // prettier-ignore
    await expect(decode("x", { ...item, rawLengthBytes: 2 ** 30 }, right, base)).rejects.toThrow("too long");
    const wide = await inTwoPieces(text, { dictionary: base, params: { [constants.ZSTD_c_windowLog]: 27 } });
    await expect(decode("x", item, wide, base)).rejects.toThrow("too much memory");
    const dictionary = Buffer.concat([Buffer.from("37a430ec", "hex"), base]);
    await expect(decode("x", item, right, dictionary)).rejects.toMatchObject({ code: "corrupt" });
  });
});

describe("Run.storeChunk() takes over a delta that a dead run left", () => {
  /** So much that packs with deltas are durable before the run breaks off. */
  const tables = { ...SECOND, more: Array.from({ length: 24 }, (_, index) => rows(`more ${index}`)) };

  /** A run that stores what changed as deltas and breaks off. */
  async function breakOff(): Promise<void> {
    await bench.backUp(FIRST);
    const beforeCommit = async (): Promise<void> => await Promise.reject(new Error("broken off"));
    const run = { keptBytesMin: 0, takesOver: true };
    await expect(backUp(await bench.open(), { tables, makesDeltas: true, run, beforeCommit })).rejects.toThrow("broken off"); // prettier-ignore
  }

  async function next(makesDeltas: boolean): Promise<{ takenOver: TakenOver; chunks: ChunkReference[] }> {
    bench.nowMs += DAY_MS / 24;
    let takenOver: TakenOver | null = null;
    const beforeCommit = async (run: Run): Promise<void> => {
      takenOver = run.takenOver;
      await Promise.resolve();
    };
    const facts = { snapshotAt: new Date(bench.nowMs).toISOString() };
    const options = { tables, facts, makesDeltas, run: { takesOver: true }, beforeCommit };
    const { id } = await backUp(await bench.open(), options);
    bench.expected.set(id, tables);
    return { takenOver: takenOver!, chunks: await chunksOf(await (await bench.open()).openRestorePoint(id)) };
  }

  test("when its base is the one that the new run has", async () => {
    await breakOff();
    const { chunks, takenOver } = await next(true);
    expect(takenOver.refused).toEqual([]);
    expect(chunks[1]).toMatchObject({ encoding: "zstd-delta", pack: expect.stringContaining(takenOver.runIds[0]!) as string }); // prettier-ignore
    await bench.expectWhole();
  });

  test("and blames no pack of it when the base turns out to be damaged", async () => {
    await breakOff();
    const repository = await bench.open();
    const { parent } = await repository.continueLineage(FACTS.lineage);
    await using run = await repository.startRun({ kind: "backup", parent, lineageName: FACTS.lineage.name, takesOver: true }); // prettier-ignore
    const base = (await chunksOf(run.parent!))[1]!;
    await flip(base, base.offset + 3);
    const { orders } = FIRST;
    const delta = deltaOf(repository.chunkIdSecret, SECOND["orders"]![1]!, base, Buffer.from(orders![1]!));
    expect((await run.storeChunk(delta)).pack).toContain(run.id);
    expect(run.takenOver).toMatchObject({ chunkCount: 0, refused: [] });
  });

  test("but a full chunk rather, where it left both", async () => {
    await bench.backUp(FIRST);
    const repository = await bench.open();
    const beforeCommit = async (dead: Run): Promise<void> => {
      await dead.storeChunk(chunkOf(repository.chunkIdSecret, SECOND["orders"]![1]!));
      for (let count = 0; count < 24; count += 1) await dead.storeChunk(chunkOf(repository.chunkIdSecret, rows(`n${count}`))); // prettier-ignore
      throw new Error("broken off");
    };
    const dying = backUp(repository, { tables, makesDeltas: true, run: { keptBytesMin: 0, takesOver: true }, beforeCommit }); // prettier-ignore
    await expect(dying).rejects.toThrow("broken off");
    const { chunks, takenOver } = await next(false);
    expect(chunks[1]).toMatchObject({ encoding: "zstd", pack: expect.stringContaining(takenOver.runIds[0]!) as string }); // prettier-ignore
  });

  test("and not by who would store a full chunk", async () => {
    await breakOff();
    const { chunks, takenOver } = await next(false);
    expect(takenOver.chunkCount).toBeGreaterThan(10);
    expect(chunks.every(({ base }) => base === null)).toBe(true);
    await bench.expectWhole();
  });

  test("and not when its base is damaged: both are stored anew", async () => {
    await breakOff();
    const repository = await bench.open();
    const [first] = await repository.restorePoints();
    const restorePoint = await repository.openRestorePoint(first!.id);
    const base = (await chunksOf(restorePoint))[1]!;
    await flip(base, base.offset + 3);
    await repository.verifyRestorePoint(restorePoint);
    bench.expected.delete(first!.id);
    const { chunks } = await next(true);
    expect(chunks[1]).toMatchObject({ encoding: "zstd", base: null });
    expect(chunks[4]).toMatchObject({ encoding: "zstd-delta" });
    const opened = await repository.openRestorePoint((await repository.restorePoints()).at(0)!.id);
    expect(await readTables(opened)).toEqual(tables);
  });
});
