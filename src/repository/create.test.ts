import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openLocalStorage } from "../storage/index.ts";
import { createRepository, openRepository } from "./index.ts";
import {
  backUp,
  CHEAP_SCRYPT,
  ENCRYPTION,
  PASSPHRASE,
  smallRepository,
  temporaryFolder,
} from "./repository.fixture.ts";

const TABLES = { orders: ["1\ta\n"] };

test("openRepository() refuses what is no repository, and a wrong passphrase", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(join(folder.path, "new/folder"));
  await expect(openRepository(storage)).rejects.toMatchObject({ code: "no_repository" });
  await smallRepository(storage);
  await expect(smallRepository(storage)).rejects.toMatchObject({ code: "repository_exists" });
  await expect(openRepository(storage)).rejects.toMatchObject({ code: "wrong_key" });
  await expect(openRepository(storage, { passphrase: `${PASSPHRASE}.` })).rejects.toMatchObject({ code: "wrong_key" });
  const opened = await openRepository(storage, { passphrase: () => Promise.resolve(PASSPHRASE) });
  expect(opened.isEncrypted).toBe(true);
  expect(opened.chunkIdSecret).toHaveLength(32);
});

test("openRepository() refuses a passphrase for a repository that is not encrypted, swapped in or not", async () => {
  await using folder = await temporaryFolder();
  await using plain = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  await smallRepository(storage);
  await smallRepository(openLocalStorage(plain.path), false);
  await writeFile(join(folder.path, "cairn.json"), await readFile(join(plain.path, "cairn.json")));
  await expect(openRepository(storage, { passphrase: PASSPHRASE })).rejects.toMatchObject({ code: "wrong_key" });
  // One who is only asked when it is needed says nothing, and gets an unencrypted repository that is empty.
  const opened = await openRepository(storage, { passphrase: () => Promise.reject(new Error("asked")) });
  expect(opened).toMatchObject({ isEncrypted: false, chunkIdSecret: null });
});

test("openRepository() refuses cairn.json with any byte changed", { timeout: 60_000 }, async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  await smallRepository(storage);
  const path = join(folder.path, "cairn.json");
  const bytes = await readFile(path);
  for (let offset = 0; offset < bytes.length; offset += 1) {
    const changed = Buffer.from(bytes);
    changed[offset]! ^= 1 << (offset % 7);
    await writeFile(path, changed);
    const code = await openRepository(storage, { passphrase: PASSPHRASE }).then(() => "opened", (error) => error.code as string); // prettier-ignore
    expect(["corrupt", "wrong_key"], `byte ${offset}`).toContain(code);
  }
});

test("openRepository() refuses a newer format, an unknown feature, and a cost that nobody should pay", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  await smallRepository(storage);
  const path = join(folder.path, "cairn.json");
  const text = await readFile(path, "utf8");
  const changes = [
    ['"formatVersion": 1', '"formatVersion": 2', "format version 2"],
    ['"delta"', '"delta",\n    "sparse"', "sparse"],
    ['"n": 16', '"n": 1073741824', "out of bounds"],
    ['"n": 16', '"n": 15', "out of bounds"],
    ['"r": 1,', '"r": 1000000,', "out of bounds"],
  ] as const;
  for (const [from, to, reason] of changes) {
    expect(text).toContain(from);
    await writeFile(path, text.replace(from, to));
    await expect(openRepository(storage, { passphrase: PASSPHRASE })).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining(reason) as string,
    });
  }
});

test("the recovery kit opens the repository; a mistyped group is named", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const { recoveryKit, repository } = await smallRepository(storage);
  await backUp(repository, { tables: TABLES });
  expect(recoveryKit).toContain(repository.id);
  expect(recoveryKit).not.toContain(PASSPHRASE);
  const key = /Recovery key (\S+)\n\s+(\S+)/.exec(recoveryKit!)!.slice(1).join("");
  const opened = await openRepository(storage, { recoveryKey: key.toLowerCase().replaceAll("0", "o") });
  expect(await opened.restorePoints()).toHaveLength(1);
  for (const index of [0, 10, 40, key.length - 1]) {
    if (key[index] === "-") continue;
    const typo = key.slice(0, index) + (key[index] === "7" ? "8" : "7") + key.slice(index + 1);
    await expect(openRepository(storage, { recoveryKey: typo })).rejects.toMatchObject({
      code: "wrong_key",
      message: `group ${Math.floor(index / 9) + 1} of the recovery key is mistyped`,
    });
  }
  await expect(openRepository(storage, { recoveryKey: key.slice(2) })).rejects.toMatchObject({ code: "wrong_key" });
});

test("createRepository() refuses a short passphrase and the place of a repository that lost its cairn.json", async () => {
  await using folder = await temporaryFolder();
  const storage = openLocalStorage(folder.path);
  const short = { kind: "passphrase", passphrase: "short" } as const;
  await expect(createRepository(storage, { encryption: short })).rejects.toMatchObject({ code: "usage" });
  const { repository } = await createRepository(storage, { encryption: ENCRYPTION, scryptCost: CHEAP_SCRYPT });
  await backUp(repository, { tables: TABLES });
  await rm(join(folder.path, "cairn.json"));
  await expect(smallRepository(storage)).rejects.toMatchObject({ code: "repository_exists" });
});
