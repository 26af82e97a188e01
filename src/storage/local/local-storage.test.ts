import { chmod, mkdir, readdir, rename, stat, utimes, writeFile } from "node:fs/promises";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openLocalStorage } from "../index.ts";
import type { Leftover, Storage } from "../index.ts";
import { fileError } from "./errors.ts";

let folder: string;
let storage: Storage;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cairn-storage-"));
  storage = openLocalStorage(join(folder, "a/b"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const text = async (name: string): Promise<string> => Buffer.from(await storage.read(name)).toString();
const names = async (prefix: string): Promise<string[]> => {
  const found: string[] = [];
  for await (const { name } of storage.list(prefix)) found.push(name);
  return found;
};
const leftovers = async (): Promise<Leftover[]> => {
  const found: Leftover[] = [];
  for await (const leftover of storage.leftovers()) found.push(leftover);
  return found;
};

describe("openLocalStorage()", () => {
  test("writes, reads ranges, lists in name order, deletes", async () => {
    expect(await storage.head("x/1")).toBe(null);
    for (const name of ["x/1", "x-y", "x/10", "x/2/z", "y", "x/2-"]) await storage.put(name, Buffer.from(`of ${name}`));
    expect(await text("x/1")).toBe("of x/1");
    expect(await storage.head("x/1")).toEqual({ name: "x/1", sizeBytes: 6 });
    expect(Buffer.from(await storage.read("x/1", { offset: 3, lengthBytes: 3 })).toString()).toBe("x/1");
    expect(await names("")).toEqual(["x-y", "x/1", "x/10", "x/2-", "x/2/z", "y"]);
    expect(await names("x/1")).toEqual(["x/1", "x/10"]);
    expect(await names("x/2/")).toEqual(["x/2/z"]);
    expect(await names("none/")).toEqual([]);
    await storage.delete("x/1");
    await storage.delete("x/1");
    expect(await storage.head("x/1")).toBe(null);
    expect(await storage.freeSpaceBytes()).toBeGreaterThan(0);
  });

  test("takes a file: URI as well", async () => {
    await storage.put("x", Buffer.from("1"));
    const other = openLocalStorage(pathToFileURL(join(folder, "a/b")).href);
    expect(await other.head("x")).not.toBe(null);
  });

  test("keeps files 0600 in folders of 0700", async () => {
    await storage.put("x/1", Buffer.from("1"));
    const mode = async (path: string): Promise<number> => (await stat(join(folder, "a", path))).mode & 0o777;
    expect([await mode("b/x/1"), await mode("b/x"), await mode("b")]).toEqual([0o600, 0o700, 0o700]);
  });

  test("refuses names that lead elsewhere", async () => {
    for (const name of ["", "/x", "../x", "x/../y", "x//y", ".x", "x/.y", "x/", "a b", "é", "x\0", "x".repeat(600)]) {
      await expect(storage.put(name, Buffer.from("1"))).rejects.toMatchObject({ code: "usage" });
      await expect(storage.read(name)).rejects.toMatchObject({ code: "usage" });
    }
  });

  test("says not_found, corrupt, repository_exists, permission_denied", async () => {
    await expect(storage.read("x")).rejects.toMatchObject({ code: "not_found" });
    await storage.put("x", Buffer.from("12345"), { ifAbsent: true });
    await expect(storage.put("x", Buffer.from("1"), { ifAbsent: true })).rejects.toMatchObject({
      code: "repository_exists",
    });
    expect(await text("x")).toBe("12345");
    await expect(storage.read("x", { offset: 3, lengthBytes: 3 })).rejects.toMatchObject({ code: "corrupt" });
    await expect(storage.read("x", { offset: 0, lengthBytes: 2 ** 40 })).rejects.toMatchObject({ code: "corrupt" });
    await expect(storage.put("x/y", Buffer.from("1"))).rejects.toMatchObject({ code: "storage_failed" });
    expect(await leftovers()).toEqual([]);
    if (process.getuid?.() === 0) return;
    await chmod(join(folder, "a/b"), 0o500);
    await expect(storage.put("z", Buffer.from("1"))).rejects.toMatchObject({ code: "permission_denied" });
    await chmod(join(folder, "a/b"), 0o700);
  });
});

test("fileError() calls a full disk no_space", async () => {
  const isThere = await stat("/dev/full").then(() => true, () => false); // prettier-ignore
  if (!isThere) return;
  const error = await writeFile("/dev/full", "1").catch((failure: unknown) => failure);
  expect(fileError(error, 'could not write "x"')).toMatchObject({ code: "no_space" });
});

describe("ObjectWriter", () => {
  test("shows nothing under its name before it is finished, and nothing after abort()", async () => {
    const writer = await storage.openWriter("x");
    await writer.write(Buffer.alloc(3_000_000, 1));
    expect(await names("")).toEqual([]);
    expect(await leftovers()).toMatchObject([{ isDead: false }]);
    await writer.write(Buffer.alloc(0));
    await writer.write(Buffer.from("end"));
    expect(await writer.finish()).toEqual({ name: "x", sizeBytes: 3_000_003 });
    expect(await leftovers()).toEqual([]);
    const other = await storage.openWriter("y");
    await other.write(Buffer.from("1"));
    await other.abort();
    await other.abort();
    expect(await names("")).toEqual(["x"]);
    expect(await leftovers()).toEqual([]);
  });

  test("writes many small and large pieces in their order", async () => {
    const pieces = Array.from({ length: 3000 }, (_, index) => Buffer.alloc((index * 7919) % 6000, index));
    const writer = await storage.openWriter("x");
    await Promise.all(pieces.map(async (piece) => await writer.write(piece)));
    await writer.finish();
    expect(Buffer.compare(await storage.read("x"), Buffer.concat(pieces))).toBe(0);
  });

  test("is corrupt when the size is not the expected one", async () => {
    const writer = await storage.openWriter("x");
    await writer.write(Buffer.from("12"));
    await expect(writer.finish({ sizeBytes: 3, sha256: new Uint8Array(32) })).rejects.toMatchObject({
      code: "corrupt",
    });
    expect(await names("")).toEqual([]);
    expect(await leftovers()).toEqual([]);
  });

  test("stops when the signal is given", async () => {
    const controller = new AbortController();
    const writer = await storage.openWriter("x", { signal: controller.signal });
    controller.abort(new Error("stop"));
    await expect(writer.write(Buffer.from("1"))).rejects.toThrow("stop");
    await writer.abort();
    expect(await leftovers()).toEqual([]);
  });
});

test("Storage.leftovers() tells the files of a dead process from those of a living one", async () => {
  await mkdir(join(folder, "a/b/x"), { recursive: true });
  const program = `import { temporaryName } from ${JSON.stringify(new URL("./temporary-names.ts", import.meta.url).href)};
    process.stdout.write(temporaryName());`;
  const dead = spawnSync(process.execPath, ["--input-type=module", "-e", program]).stdout.toString();
  expect(dead).toMatch(/^\.cairn-tmp-/);
  await writeFile(join(folder, "a/b/x", dead), "abc");
  const elsewhere = dead.replace(/^\.cairn-tmp-.{12}/, ".cairn-tmp-000000000000");
  await writeFile(join(folder, "a/b", elsewhere), "");
  expect(await leftovers()).toEqual([
    { name: elsewhere, sizeBytes: 0, isDead: false },
    { name: `x/${dead}`, sizeBytes: 3, isDead: true },
  ]);
  expect(await names("")).toEqual([]);
  // Of another boot: of this machine before it was started again, or of a clone of it that is at work.
  const ofOtherBoot = dead.replace(/^(\.cairn-tmp-.{12}-)[^-]+/, "$10123abcd");
  await writeFile(join(folder, "a/b", ofOtherBoot), "");
  const isDead = async (): Promise<boolean> => (await leftovers()).find(({ name }) => name === ofOtherBoot)!.isDead;
  expect(await isDead()).toBe(false);
  await utimes(join(folder, "a/b", ofOtherBoot), new Date(), new Date(Date.now() - 86_400_000));
  expect(await isDead()).toBe(true);
  await storage.deleteLeftover(ofOtherBoot);
  await storage.deleteLeftover(`x/${dead}`);
  await expect(storage.deleteLeftover("../x")).rejects.toMatchObject({ code: "usage" });
  await expect(storage.deleteLeftover("x")).rejects.toMatchObject({ code: "usage" });
  expect(await readdir(join(folder, "a/b/x"))).toEqual([]);
  await rename(join(folder, "a"), join(folder, "c"));
  expect(await leftovers()).toEqual([]);
});
