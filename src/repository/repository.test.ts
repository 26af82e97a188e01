import { describe, expect, test } from "vitest";
import { openLocalStorage } from "../storage/index.ts";
import { openRepository } from "./index.ts";
import { backUp, FACTS, PASSPHRASE, readTables, smallRepository, temporaryFolder, TOC } from "./repository.fixture.ts";

const rows = (from: number, count: number): string => {
  return Array.from({ length: count }, (_, index) => `${from + index}\tvalue ${(from + index) * 7919}\n`).join("");
};
const TABLES = { orders: [rows(0, 500), rows(500, 500)], empty: [], items: [rows(9000, 3)] };

describe.each([true, false])("Repository, encrypted: %s", (isEncrypted) => {
  const open = async (path: string) => {
    return await openRepository(openLocalStorage(path), isEncrypted ? { passphrase: PASSPHRASE } : {});
  };

  test("backs up, lists, opens and verifies", async () => {
    await using folder = await temporaryFolder();
    const { repository, recoveryKit } = await smallRepository(openLocalStorage(folder.path), isEncrypted);
    expect(recoveryKit === null).toBe(!isEncrypted);
    const summary = await backUp(repository, {
      tables: TABLES,
      largeObjects: { 7: "seven", 8: "eight", 9: "n".repeat(1500) },
    });
    const again = await open(folder.path);
    expect(await again.restorePoints()).toEqual([summary]);
    const id = await again.resolve("latest");
    const restorePoint = await again.openRestorePoint(id);
    expect(Buffer.from(restorePoint.toc)).toEqual(TOC);
    expect(await readTables(restorePoint)).toEqual(TABLES);
    expect(summary.totals).toMatchObject({ relations: 3, rows: 1003, chunks: 6, reusedChunks: 0, largeObjects: 3 });
    const result = await again.verifyRestorePoint(restorePoint);
    expect(result).toMatchObject({ isWhole: true, chunkCount: 6, damage: [], sealedBytes: summary.totals.sealedBytes });
    expect(await again.verifies(id)).toHaveLength(1);
    expect(await again.leftovers()).toEqual({ runs: [], packs: [], unfinished: [], unreadable: [] });
  });

  test("takes over what did not change, and stores only what did", async () => {
    await using folder = await temporaryFolder();
    const { repository } = await smallRepository(openLocalStorage(folder.path), isEncrypted);
    const first = await backUp(repository, { tables: TABLES });
    const changed = { ...TABLES, orders: [TABLES.orders[0]!, rows(500, 501)] };
    const second = await backUp(repository, { tables: changed });
    expect(second.parentId).toBe(first.id);
    expect(second.totals).toMatchObject({ chunks: 3, reusedChunks: 2 });
    expect(second.id > first.id).toBe(true);
    const restorePoint = await repository.openRestorePoint(second.id);
    expect(await readTables(restorePoint)).toEqual(changed);
    expect(restorePoint.manifest.packs).toHaveLength(2);
    expect(await readTables(await repository.openRestorePoint(first.id))).toEqual(TABLES);
    expect(FACTS.snapshotAt).toBe(second.snapshotAt);
  });
});
