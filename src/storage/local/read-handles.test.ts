import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

import { ReadHandles } from "./read-handles.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-read-handles-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function newFile(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await rm(path, { force: true });
  await writeFile(path, text);
  return path;
}

const textOf = (handles: ReadHandles, path: string): Promise<string> =>
  handles.use(path, async (handle) => {
    const { buffer, bytesRead } = await handle.read({ position: 0 });
    return buffer.toString("utf8", 0, bytesRead);
  });

/** How many files of the folder this process has open. */
async function openCount(): Promise<number> {
  const links = (await readdir("/proc/self/fd")).map((name) => readlink(`/proc/self/fd/${name}`).catch(() => ""));
  return (await Promise.all(links)).filter((path) => path.startsWith(folder)).length;
}

test("reads of one file share a handle, also one after another", async () => {
  await using handles = new ReadHandles();
  const path = await newFile("shared", "text");
  const seen = new Set<number>();
  const look = async (): Promise<void> => await handles.use(path, async ({ fd }) => void seen.add(fd));
  await Promise.all([look(), look()]);
  await look();
  expect(seen.size).toBe(1);
});

test("a file that was deleted or replaced is not read any more", async () => {
  await using handles = new ReadHandles();
  const path = await newFile("replaced", "old");
  expect(await textOf(handles, path)).toBe("old");
  await newFile("replaced", "new");
  expect(await textOf(handles, path)).toBe("new");
  await rm(path);
  await expect(textOf(handles, path)).rejects.toMatchObject({ code: "ENOENT" });
  await newFile("replaced", "again");
  expect(await Promise.all([textOf(handles, path), textOf(handles, path)])).toEqual(["again", "again"]);
});

test("few handles stay open, none for long, and none when it is disposed", async () => {
  const handles = new ReadHandles();
  const paths = await Promise.all(Array.from({ length: 30 }, (_, index) => newFile(`many-${index}`, `${index}`)));
  expect(await Promise.all(paths.map((path) => textOf(handles, path)))).toEqual(paths.map((_, index) => `${index}`));
  await expect.poll(openCount).toBeLessThanOrEqual(8);
  await expect.poll(openCount).toBe(0);
  expect(await textOf(handles, paths[0]!)).toBe("0");
  expect(await openCount()).toBe(1);
  await handles[Symbol.asyncDispose]();
  expect(await openCount()).toBe(0);
  expect(await readFile(paths[0]!, "utf8")).toBe("0");
});
