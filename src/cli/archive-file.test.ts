// Whether a word means a restore point or an archive file, and what the commands make of it.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { archiveFileOf } from "./archive-file.ts";
import { parseCommandLine } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";

const before = process.cwd();
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-file-"));
  process.chdir(folder);
  for (const name of ["shop.dump", "latest", "20261122T100000Z-abcd", "shop@latest"]) await writeFile(name, "");
});
afterAll(async () => {
  process.chdir(before);
  await rm(folder, { recursive: true });
});

async function lineOf(words: string[]): Promise<CommandLine> {
  const request = await parseCommandLine(words, "1.2.3");
  if (request.kind !== "run") throw new Error("no command");
  return request.line;
}

test.each([
  ["shop.dump", "shop.dump"],
  ["./shop.dump", "./shop.dump"],
  ["./latest", "./latest"],
  ["/nowhere/shop.dump", "/nowhere/shop.dump"],
  ["latest", null],
  ["shop@latest", null],
  ["20261122T100000Z-abcd", null],
  ["shop@host@2026-11-22T10:00Z", null],
  ["nothing.dump", null],
])("archiveFileOf() takes %s for %s", async (word, file) => {
  expect(archiveFileOf(await lineOf(["restore", word, "--to", "x"]))).toBe(file);
});

test("archiveFileOf() takes every word for a restore point where a repository is named", async () => {
  expect(archiveFileOf(await lineOf(["restore", "./shop.dump", "--to", "x", "-R", "/r"]))).toBe(null);
});

const caller = {
  environment: {},
  isOutputTerminal: false,
  signal: new AbortController().signal,
  askSecret: null,
  showText: async () => undefined,
  notify: () => {},
};

async function settingsOf(words: string[]): Promise<unknown> {
  const request = await parseCommandLine(words, "1.2.3");
  if (request.kind !== "run") throw new Error("no command");
  return await request.verb.readSettings(request.line, caller);
}

test("restore and show of a file need no repository", async () => {
  expect(await settingsOf(["restore", "shop.dump", "--to", "x"])).toMatchObject({
    repository: null,
    file: "shop.dump",
  });
  expect(await settingsOf(["show", "shop.dump", "--list"])).toEqual({ file: "shop.dump", what: "list", tables: [] });
  await expect(settingsOf(["restore", "latest", "--to", "x"])).rejects.toMatchObject({ code: "usage" });
});

test("import and export read their settings", async () => {
  expect(await settingsOf(["import", "a.dump", "-R", "/r", "--lineage", "l", "--tag", "a=b"])).toMatchObject({
    file: "a.dump",
    lineage: "l",
    tags: { a: "b" },
  });
  const words = ["export", "latest", "-R", "/r", "--file", "x", "-F", "p", "--restrict-key", "k"];
  expect(await settingsOf(words)).toMatchObject({ format: "p", restrictKey: "k", compression: null });
});
