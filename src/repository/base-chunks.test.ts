// Plaintexts that deltas lean on: loaded once, kept within bounds, never freed while somebody works with them.

import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { MIB } from "../base/units.ts";
import { openLocalStorage } from "../storage/index.ts";
import { BaseChunks } from "./base-chunks.ts";
import type { ChunkReference } from "./index.ts";
import { backUp, readTables, smallRepository, temporaryFolder } from "./repository.fixture.ts";

const reference = (index: number, more: Partial<ChunkReference> = {}): ChunkReference => ({
  kind: "table",
  id: Buffer.alloc(32, index),
  pack: "20261122T100000Z-0k3m9x2q-7",
  itemNumber: index,
  offset: 64,
  lengthBytes: 100,
  rawLengthBytes: 4 * MIB,
  rowCount: 1,
  continues: false,
  base: null,
  encoding: "zstd",
  ...more,
});

/** Loads buffers of their own, and counts. */
function counting(): { readonly bases: BaseChunks; readonly loaded: number[]; readonly buffers: Uint8Array[] } {
  const loaded: number[] = [];
  const buffers: Uint8Array[] = [];
  const bases = new BaseChunks(async ({ itemNumber, rawLengthBytes }) => {
    loaded.push(itemNumber);
    const buffer = new Uint8Array(rawLengthBytes).fill(itemNumber);
    buffers.push(buffer);
    return await Promise.resolve(buffer);
  });
  return { bases, loaded, buffers };
}

describe("BaseChunks", () => {
  test("loads a base once for all who work with it at the same time, and keeps the last ones", async () => {
    const { bases, loaded } = counting();
    const first = async (bytes: Uint8Array): Promise<number> => await Promise.resolve(bytes[0]!);
    expect(await Promise.all([1, 1, 2, 1].map(async (index) => await bases.use(reference(index), first)))).toEqual([1, 1, 2, 1]); // prettier-ignore
    expect(await bases.use(reference(2), first)).toBe(2);
    expect(loaded).toEqual([1, 2]);
    // A list that says something else of the same place gets nothing from here.
    await bases.use(reference(1, { id: Buffer.alloc(32, 9) }), first);
    await bases.use(reference(1, { rawLengthBytes: MIB }), first);
    expect(loaded).toEqual([1, 2, 1, 1]);
  });

  test("frees the oldest beyond 16 MiB, but none that is worked with", async () => {
    const { bases, buffers, loaded } = counting();
    const gate = Promise.withResolvers<void>();
    const held = bases.use(reference(1), async (bytes) => {
      await gate.promise;
      return bytes.length;
    });
    for (let index = 2; index <= 9; index += 1) await bases.use(reference(index), async () => await Promise.resolve());
    expect(buffers.map(({ length }) => length > 0)).toEqual([true, false, false, false, false, true, true, true, true]);
    gate.resolve();
    expect(await held).toBe(4 * MIB);
    await Promise.resolve();
    expect(buffers[0]!.length).toBe(0);
    await bases.use(reference(9), async () => await Promise.resolve());
    expect(loaded).toHaveLength(9);
  });

  test("keeps no failure", async () => {
    let count = 0;
    const bases = new BaseChunks(async () => {
      count += 1;
      return await Promise.reject(new Error("gone"));
    });
    for (let tries = 1; tries <= 2; tries += 1) {
      await expect(bases.use(reference(1), async () => await Promise.resolve())).rejects.toThrow("gone");
      expect(count).toBe(tries);
    }
  });
});

test.each([true, false])(
  "deltas of long chunks are read in any order and all at once, encrypted: %s",
  async (isEncrypted) => {
    await using folder = await temporaryFolder();
    const { repository } = await smallRepository(openLocalStorage(join(folder.path, "r")), isEncrypted);
    const lines = (segment: number): string => Array.from({ length: 20_000 }, (_, row) => `${row}\t${segment}\t${(row * 7919 + segment * 31) % 10_007}\n`).join(""); // prettier-ignore
    const before = Array.from({ length: 25 }, (_, segment) => lines(segment));
    const after = before.map((text, segment) => `${text.slice(0, 1000)}\nchanged in ${segment}\n${text.slice(1000)}`);
    await backUp(repository, { tables: { t: before } });
    const { id } = await backUp(repository, { tables: { t: after }, makesDeltas: true });
    const restorePoint = await repository.openRestorePoint(id);
    expect(restorePoint.manifest.relations[0]).toMatchObject({ deltaChunkCount: 25 });
    const chunks: ChunkReference[] = [];
    for await (const segment of restorePoint.segments(restorePoint.manifest.relations[0]!))
      chunks.push(...segment.chunks);
    const mixed = chunks.map((chunk, index) => ({ chunk, index })).toSorted((one, other) => (one.index % 7) - (other.index % 7)); // prettier-ignore
    const many = async (): Promise<number> => {
      let index = 0;
      for await (const chunk of restorePoint.readChunks(chunks)) {
        expect(Buffer.from(await restorePoint.decodeChunk(chunk)).equals(Buffer.from(after[index]!))).toBe(true);
        index += 1;
      }
      return index;
    };
    const alone = mixed.map(async ({ chunk, index }) => {
      const plaintext = await restorePoint.loadChunk(chunk);
      expect(Buffer.from(plaintext).equals(Buffer.from(after[index]!))).toBe(true);
    });
    expect(await Promise.all([many(), many(), ...alone])).toHaveLength(27);
    expect(await readTables(restorePoint)).toEqual({ t: after });
  },
);
