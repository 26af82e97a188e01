// Where a recovery kit is when what follows it goes wrong.

import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keepingKit } from "./recovery-kit-file.ts";

const KIT = "CAIRN RECOVERY KIT\nkey\n";

let folder = "";
let path = "";
let told: string[] = [];
const caller = {
  notify: ({ message }: { readonly message: string }) => void told.push(message),
  showText: async (text: string) => void told.push(text),
};
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-kit-"));
  path = join(folder, "kit.txt");
  told = [];
});
afterEach(async () => await rm(folder, { recursive: true }));

async function isThere(): Promise<boolean> {
  return await stat(path).then(() => true, () => false); // prettier-ignore
}

test("keepingKit() has the kit in its file before the work goes on, and leaves it there when the work fails in doubt", async () => {
  const seen = await keepingKit(path, caller, async (kit) => {
    await kit.keep(KIT);
    return await readFile(path, "utf8");
  });
  expect(seen).toBe(KIT);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await rm(path);
  const failing = keepingKit(path, caller, async (kit) => {
    await kit.keep(KIT);
    throw new Error("answer lost");
  });
  await expect(failing).rejects.toThrow("answer lost");
  expect(await readFile(path, "utf8")).toBe(KIT);
  expect(told).toEqual([`the recovery kit is in "${path}"`]);
});

test("keepingKit() leaves no file when the key did not come into use, and never writes over one", async () => {
  const failing = async (work: Parameters<typeof keepingKit>[2]): Promise<void> => {
    await expect(keepingKit(path, caller, work)).rejects.toThrow("nothing was done");
    expect(await isThere()).toBe(false);
  };
  await failing(async () => await Promise.reject(new Error("nothing was done")));
  await failing(async (kit) => {
    await kit.keep(KIT);
    await kit.discard();
    throw new Error("nothing was done");
  });
  expect(told).toEqual([]);
  await keepingKit(path, caller, async (kit) => await kit.keep(KIT));
  await expect(keepingKit(path, caller, async (kit) => await kit.keep("x"))).rejects.toMatchObject({ code: "usage" });
  expect(await readFile(path, "utf8")).toBe(KIT);
});

test("keepingKit() shows a kit before its key comes into use, and says when it is of no use", async () => {
  const work = keepingKit(null, caller, async (kit) => {
    await kit.keep(`${KIT}\u001b]0;title`);
    expect(told).toEqual([`${KIT}\\x1b]0;title\n\n`]);
    await kit.discard();
    throw new Error("nothing was done");
  });
  await expect(work).rejects.toThrow("nothing was done");
  expect(told[1]).toContain("is of no use");
});
