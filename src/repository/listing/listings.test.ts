// Listing with a cache: it shows what the storage holds, whatever the cache says, and reads only what is new.

import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openLocalStorage } from "../../storage/index.ts";
import type { Storage } from "../../storage/index.ts";
import { createRepository, openRepository } from "../index.ts";
import type { Repository } from "../index.ts";
import {
  backUp,
  changed,
  CHEAP_SCRYPT,
  ENCRYPTION,
  NO_RULES,
  PASSPHRASE,
  temporaryFolder,
} from "../repository.fixture.ts";

/** More than are read without looking at the cache. */
const COUNT = 20;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let cacheFolder: string;
let reads: string[];
beforeEach(async () => {
  folder = await temporaryFolder();
  cacheFolder = join(folder.path, "cache", "cairn");
  reads = [];
});
afterEach(async () => await folder[Symbol.asyncDispose]());

/** The storage, with the names of manifests and marks that are read noted. */
function watched(path: string): Storage {
  const storage = openLocalStorage(path);
  return changed(storage, {
    read: async (name, range, signal) => {
      if (/^(backups|marks)\//.test(name)) reads.push(name);
      return await storage.read(name, range, signal);
    },
  });
}

async function open(path: string, isEncrypted = true): Promise<Repository> {
  reads = [];
  return await openRepository(watched(path), { ...(isEncrypted && { passphrase: PASSPHRASE }), cacheFolder });
}

async function make(name: string, { count = COUNT, isEncrypted = true } = {}): Promise<string> {
  const path = join(folder.path, name);
  const encryption = isEncrypted ? ENCRYPTION : ({ kind: "none" } as const);
  const made = await createRepository(openLocalStorage(path), { encryption, scryptCost: CHEAP_SCRYPT });
  await using repository = made.repository;
  for (let index = 0; index < count; index += 1) await backUp(repository, { tables: { t: [`${index}\n`] } });
  return path;
}

interface Listed {
  readonly ids: readonly string[];
  readonly damaged: readonly string[];
  readonly packs: readonly string[];
  readonly verified: readonly string[];
  readonly readCount: number;
}

async function list(path: string, isEncrypted = true): Promise<Listed> {
  await using repository = await open(path, isEncrypted);
  const damaged: string[] = [];
  const { leftovers, restorePoints } = await repository.overview({ onDamage: (name) => damaged.push(name) });
  const ids = restorePoints.map(({ id }) => id);
  const marks = await repository.marks(ids);
  const verified = [...marks].flatMap(([id, { lastVerify }]) => (lastVerify === null ? [] : [id]));
  return { ids, damaged, packs: leftovers.packs.map(({ name }) => name), verified, readCount: reads.length };
}

async function manifestPaths(path: string): Promise<string[]> {
  const [lineage] = await readdir(join(path, "backups"));
  return (await readdir(join(path, "backups", lineage!))).toSorted().map((id) => join(path, "backups", lineage!, id));
}

async function cacheFiles(): Promise<string[]> {
  return (await readdir(cacheFolder)).map((name) => join(cacheFolder, name));
}

describe.each([true, false])("listing with a cache, encrypted: %s", (isEncrypted) => {
  test("reads each manifest and mark once, and then only what is new", async () => {
    const path = await make("r", { isEncrypted });
    const first = await list(path, isEncrypted);
    expect([first.ids.length, first.readCount]).toEqual([COUNT, COUNT]);
    expect(await list(path, isEncrypted)).toEqual({ ...first, readCount: 0 });
    await using repository = await open(path, isEncrypted);
    const added = await backUp(repository, { tables: { t: ["new\n"] } });
    await repository.verifyRestorePoint(await repository.openRestorePoint(first.ids[3]!));
    const second = await list(path, isEncrypted);
    expect(second).toMatchObject({ ids: [added.id, ...first.ids], verified: [first.ids[3]], readCount: 2 });
    expect(await list(path, isEncrypted)).toEqual({ ...second, readCount: 0 });
  });

  test("never shows what the storage does not hold, and says what is damaged", async () => {
    const path = await make("r", { isEncrypted });
    const { ids } = await list(path, isEncrypted);
    const paths = await manifestPaths(path);
    await rm(paths[0]!);
    const bytes = await readFile(paths[1]!);
    bytes[100]! ^= 1;
    await writeFile(paths[1]!, bytes);
    const after = await list(path, isEncrypted);
    expect(after.ids).toEqual(ids.slice(0, -2));
    expect(after.damaged).toEqual([paths[1]!.slice(path.length + 1)]);
  });

  test("names the packs that nobody needs as without a cache", async () => {
    const path = await make("r", { isEncrypted });
    await list(path, isEncrypted);
    await rm((await manifestPaths(path)).at(-1)!);
    const withCache = await list(path, isEncrypted);
    await rm(cacheFolder, { recursive: true });
    expect(withCache.packs).toHaveLength(1);
    expect((await list(path, isEncrypted)).packs).toEqual(withCache.packs);
  });

  test("a damaged, cut or foreign cache file is none", async () => {
    const path = await make("r", { isEncrypted });
    const whole = await list(path, isEncrypted);
    const [file] = await cacheFiles();
    const bytes = await readFile(file!);
    for (const position of [0, 9, 10, 13, 20, 40, 70, bytes.length - 1]) {
      const flipped = Buffer.from(bytes);
      flipped[position]! ^= 1;
      await writeFile(file!, flipped);
      expect(await list(path, isEncrypted)).toEqual(whole);
    }
    for (const length of [0, 10, 64, 80, bytes.length - 1]) {
      await writeFile(file!, bytes.subarray(0, length));
      expect(await list(path, isEncrypted)).toEqual(whole);
    }
    await rm(file!);
    await mkdir(file!);
    expect(await list(path, isEncrypted)).toEqual(whole);
  });
});

describe("the cache of an encrypted repository", () => {
  test("tells nothing, is for its owner only, and does not open with another repository's key", async () => {
    const [one, other] = [await make("one"), await make("other")];
    const whole = [await list(one), await list(other)];
    const files = await cacheFiles();
    expect(files).toHaveLength(2);
    for (const file of files) {
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      expect((await readFile(file)).toString("latin1")).not.toMatch(/shop|2026|backups/);
    }
    expect((await stat(cacheFolder)).mode & 0o777).toBe(0o700);
    const [first, second] = await Promise.all(files.map((file) => readFile(file)));
    await writeFile(files[0]!, second!);
    await writeFile(files[1]!, first!);
    expect([await list(one), await list(other)]).toEqual(whole);
  });
});

describe("a listing", () => {
  test("is right without a folder to write to", async () => {
    const path = await make("r", { count: COUNT });
    await writeFile(join(folder.path, "cache"), "a file where the folder should be");
    expect((await list(path)).ids).toHaveLength(COUNT);
    await rm(join(folder.path, "cache"));
    await mkdir(cacheFolder, { recursive: true });
    await chmod(cacheFolder, 0o500);
    expect((await list(path)).ids).toHaveLength(COUNT);
  });

  test("is right beside others that write the same cache", async () => {
    const path = await make("r");
    const all = await Promise.all(Array.from({ length: 6 }, () => list(path)));
    for (const { ids } of all) expect(ids).toEqual(all[0]!.ids);
    expect(await cacheFiles()).toHaveLength(1);
    expect((await list(path)).readCount).toBe(0);
  });
});

test("expire keeps no manifest for good that only the cache calls so", async () => {
  const path = await make("r");
  const storage = openLocalStorage(path);
  // As a storage whose listings tell names and sizes alone.
  const plain = changed(storage, {
    list: async function* (prefix, signal) {
      for await (const { name, sizeBytes } of storage.list(prefix, signal)) yield { name, sizeBytes };
    },
  });
  const ids = async (): Promise<string[]> => {
    await using repository = await openRepository(plain, { passphrase: PASSPHRASE, cacheFolder });
    return (await repository.restorePoints()).map(({ id }) => id);
  };
  const before = await ids();
  const newest = (await manifestPaths(path)).at(-1)!;
  const bytes = await readFile(newest);
  bytes[100]! ^= 1;
  await writeFile(newest, bytes);
  // The cache alone cannot tell.
  expect(await ids()).toEqual(before);
  const repository = await openRepository(plain, { passphrase: PASSPHRASE, cacheFolder });
  const decisions = await repository.expire({ rules: { ...NO_RULES, last: 1 }, isDryRun: false });
  const good = decisions.find(({ id }) => id === before[1])!;
  expect(good.isKept).toBe(true);
  expect(decisions.filter(({ isKept }) => !isKept)).toHaveLength(COUNT - 2);
});
