import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { checkFolderTarget, TemporaryFolder } from "./folder-sink.ts";

let folder: string;
let target: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "folder-sink-"));
  target = join(folder, "archive");
  mkdirSync(target);
  const names = ["toc.dat", "12.dat", "13.dat.gz", "14.dat.zst", "blob_5.dat.lz4", "blobs.toc", "blobs_7.toc"];
  for (const name of names) writeFileSync(join(target, name), "old");
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

const STRANGERS: readonly (readonly [string, (path: string) => void])[] = [
  ["other.dump", (path) => writeFileSync(path, "x")],
  ["12.dat.bak", (path) => writeFileSync(path, "x")],
  ["my-toc.dat", (path) => writeFileSync(path, "x")],
  [".hidden", (path) => writeFileSync(path, "x")],
  ["20.dat", (path) => mkdirSync(path)],
  ["21.dat", (path) => symlinkSync("/", path)],
];

async function replace(): Promise<void> {
  await using fresh = await TemporaryFolder.create(target);
  await fresh.begin("toc.dat");
  await fresh.write(Buffer.from("new"));
  await fresh.end();
  await fresh.publish();
}

test("an archive is replaced when nothing else is in its folder", async () => {
  await expect(checkFolderTarget({ file: target, overwrite: true })).resolves.toBe(target);
  await replace();
  expect(readdirSync(target)).toEqual(["toc.dat"]);
  expect(readdirSync(folder)).toEqual(["archive"]);
});

test.each(STRANGERS)("a folder with %s in it is left alone, and the error names it", async (name, make) => {
  make(join(target, name));
  const before = readdirSync(target);
  await expect(checkFolderTarget({ file: target, overwrite: true })).rejects.toMatchObject({
    code: "usage",
    message: `folder "${target}" holds "${name}", which is no file of an archive`,
  });
  // It came while the new archive was being written.
  await expect(replace()).rejects.toThrow(`holds "${name}"`);
  expect(readdirSync(target)).toEqual(before);
  expect(readdirSync(folder)).toEqual(["archive"]);
});
