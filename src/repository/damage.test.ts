// Whatever is done to an object, reading it says so, and nothing else is read in its place.

import { cp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isOperatingError } from "../base/errors.ts";
import { openLocalStorage } from "../storage/index.ts";
import { openRepository } from "./index.ts";
import type { Repository, VerifyResult } from "./index.ts";
import { backUp, FACTS, PASSPHRASE, readTables, smallRepository, temporaryFolder } from "./repository.fixture.ts";

const TABLES = { canary_orders: ["1\tcanary_value\n2\tb\n", "3\tc\n"], canary_items: ["9\tz\n"] };
const OBJECTS = { 70001: "canary_object", 70002: "long ".repeat(300) };

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).toSorted(); // prettier-ignore
}

async function made(path: string, isEncrypted: boolean): Promise<Repository> {
  const { repository } = await smallRepository(openLocalStorage(path), isEncrypted);
  await backUp(repository, { tables: TABLES, largeObjects: OBJECTS });
  return repository;
}

async function reopened(path: string, isEncrypted: boolean): Promise<Repository> {
  return await openRepository(openLocalStorage(path), isEncrypted ? { passphrase: PASSPHRASE } : {});
}

/** What a user learns: null when everything is said to be right. */
async function complaint(path: string, isEncrypted: boolean): Promise<string | null> {
  try {
    const repository = await reopened(path, isEncrypted);
    const restorePoint = await repository.openRestorePoint(await repository.resolve("latest"));
    const result: VerifyResult = await repository.verifyRestorePoint(restorePoint, { isMarked: false });
    return result.isWhole ? null : result.damage.map((one) => one.reason).join("; ");
  } catch (error) {
    if (isOperatingError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
}

describe.each([true, false])("a repository, encrypted: %s", (isEncrypted) => {
  test("a flipped bit in any byte of any object is noticed", { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder();
    await made(folder.path, isEncrypted);
    const files = (await filesBelow(folder.path)).filter((file) => !/README|rescue/.test(file));
    expect(files.length).toBeGreaterThanOrEqual(3);
    const unnoticed: string[] = [];
    for (const file of files) {
      const bytes = await readFile(file);
      // Every byte of head and end, and a sample of the middle.
      const step = Math.max(1, Math.floor(bytes.length / 50));
      for (let offset = 0; offset < bytes.length; offset += offset < 70 || offset > bytes.length - 40 ? 1 : step) {
        const broken = Buffer.from(bytes);
        broken[offset]! ^= 1 << (offset % 8);
        await writeFile(file, broken);
        if ((await complaint(folder.path, isEncrypted)) === null) unnoticed.push(`${file} ${offset}`);
      }
      await writeFile(file, bytes);
    }
    expect(unnoticed).toEqual([]);
    expect(await complaint(folder.path, isEncrypted)).toBe(null);
  });

  test("a shortened, emptied, lengthened or missing object is noticed", async () => {
    await using folder = await temporaryFolder();
    await made(folder.path, isEncrypted);
    for (const file of (await filesBelow(folder.path)).filter((name) => !/README|rescue/.test(name))) {
      const bytes = await readFile(file);
      for (const length of [0, 1, 63, 64, 65, bytes.length - 17, bytes.length - 1]) {
        await writeFile(file, bytes);
        await truncate(file, length);
        expect(await complaint(folder.path, isEncrypted), `${file} of ${length} bytes`).not.toBe(null);
      }
      await writeFile(file, Buffer.concat([bytes, Buffer.from("x")]));
      expect(await complaint(folder.path, isEncrypted), `${file} with a byte more`).not.toBe(null);
      await rm(file);
      expect(await complaint(folder.path, isEncrypted), `${file} missing`).not.toBe(null);
      await writeFile(file, bytes);
    }
  });

  test("an object in the place of another is noticed", async () => {
    await using folder = await temporaryFolder();
    const repository = await made(folder.path, isEncrypted);
    await backUp(repository, { tables: { canary_orders: ["1\tother_value\n2\tb\n", "3\tc\n"] } });
    const kinds = ["packs", "backups"];
    for (const kind of kinds) {
      const [one, other] = await filesBelow(join(folder.path, kind));
      const bytes = await readFile(other!);
      await cp(one!, other!);
      expect(await complaint(folder.path, isEncrypted), `${kind} swapped`).not.toBe(null);
      await writeFile(other!, bytes);
    }
    expect(await complaint(folder.path, isEncrypted)).toBe(null);
  });

  test("an object of another repository under the same passphrase is noticed", async () => {
    await using folder = await temporaryFolder();
    await using other = await temporaryFolder();
    await made(folder.path, isEncrypted);
    await made(other.path, isEncrypted);
    await rm(join(folder.path, "backups"), { recursive: true });
    await cp(join(other.path, "backups"), join(folder.path, "backups"), { recursive: true });
    expect(await complaint(folder.path, isEncrypted)).toMatch(/corrupt|not_found/);
    await cp(join(other.path, "cairn.json"), join(folder.path, "cairn.json"));
    expect(await complaint(folder.path, isEncrypted)).not.toBe(null);
  });

  test("verify() names all damage, and the next backup stores it anew", async () => {
    await using folder = await temporaryFolder();
    const repository = await made(folder.path, isEncrypted);
    const [pack] = await filesBelow(join(folder.path, "packs"));
    const bytes = await readFile(pack!);
    bytes[70]! ^= 4; // in the first item: the first chunk of canary_orders
    await writeFile(pack!, bytes);
    const restorePoint = await repository.openRestorePoint(await repository.resolve("latest"));
    const result = await repository.verifyRestorePoint(restorePoint);
    expect(result.isWhole).toBe(false);
    expect(result.damage).toMatchObject([{ itemNumber: 0, relation: "public.canary_orders" }]);
    expect((await repository.damaged()).itemCount).toBe(1);
    const again = await reopened(folder.path, isEncrypted);
    const summary = await backUp(again, { tables: TABLES });
    expect(summary.totals).toMatchObject({ chunks: 3, reusedChunks: 2 });
    const repaired = await again.openRestorePoint(summary.id);
    expect((await again.verifyRestorePoint(repaired)).isWhole).toBe(true);
    expect(await readTables(repaired)).toEqual(TABLES);
  });

  test("a damaged list of the parent costs deduplication, not the backup", async () => {
    await using folder = await temporaryFolder();
    const repository = await made(folder.path, isEncrypted);
    const [pack] = await filesBelow(join(folder.path, "packs"));
    const bytes = await readFile(pack!);
    const restorePoint = await repository.openRestorePoint(await repository.resolve("latest"));
    const [, , pageOffset] = restorePoint.manifest.pages[0]!;
    bytes[pageOffset + 3]! ^= 4;
    await writeFile(pack!, bytes);
    const result = await repository.verifyRestorePoint(restorePoint);
    // One page holds the lists of both tables and of the large objects; each is named.
    const itemNumber = restorePoint.manifest.pages[0]![1];
    const touched = ["public.canary_orders", "public.canary_items", "large objects"];
    expect(new Set(result.damage.map(({ relation }) => relation))).toEqual(new Set(touched));
    expect(result.damage.every((one) => one.itemNumber === itemNumber)).toBe(true);
    const again = await reopened(folder.path, isEncrypted);
    const summary = await backUp(again, { tables: TABLES });
    expect(summary.totals).toMatchObject({ chunks: 3, reusedChunks: 0 });
    expect(await readTables(await again.openRestorePoint(summary.id))).toEqual(TABLES);
  });

  test("verify() goes on after a missing pack, and the next backup stores all of it anew", async () => {
    await using folder = await temporaryFolder();
    const repository = await made(folder.path, isEncrypted);
    const changed = { ...TABLES, canary_items: ["10\ty\n"] };
    await backUp(repository, { tables: changed });
    const [first] = (await repository.restorePoints()).toReversed();
    const packs = await filesBelow(join(folder.path, "packs"));
    const firstPack = packs.find((file) => file.includes(first!.runId));
    await rm(firstPack!);
    const latest = await repository.openRestorePoint(await repository.resolve("latest"));
    const result = await repository.verifyRestorePoint(latest);
    const reason = expect.stringContaining("missing") as string;
    expect(result.damage).toMatchObject([
      { itemNumber: null, relation: null, reason },
      { itemNumber: null, relation: "public.canary_orders" },
    ]);
    const summary = await backUp(repository, { tables: changed });
    expect(summary.totals).toMatchObject({ chunks: 3, reusedChunks: 1 });
    expect((await repository.verifyRestorePoint(await repository.openRestorePoint(summary.id))).isWhole).toBe(true);
  });
});

test("nothing that a user named stands in any file or name of an encrypted repository", async () => {
  await using folder = await temporaryFolder();
  const repository = await made(folder.path, true);
  const restorePoint = await repository.openRestorePoint(await repository.resolve("latest"));
  await repository.verifyRestorePoint(restorePoint);
  const run = await repository.startRun({ kind: "backup", lineageName: FACTS.lineage.name });
  const canaries = ["canary", "shop", FACTS.lineage.systemIdentifier, PASSPHRASE, "value"];
  for (const file of await filesBelow(folder.path)) {
    if (/README|cairn-rescue/.test(file)) continue;
    const text = file.slice(folder.path.length) + (await readFile(file, "latin1"));
    for (const canary of canaries) expect(text.includes(canary), `${canary} in ${file}`).toBe(false);
  }
  await run.abort();
});
