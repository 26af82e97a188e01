import { cpSync, mkdtempSync, renameSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterEach, beforeEach, expect, test } from "vitest";

import { openRestorableSource } from "./open-archive-source.ts";

const FIXTURE = fileURLToPath(new URL("../../../tests/archive/fixtures/small-18.directory", import.meta.url));

let parent: string;
let folder: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "archive-source-"));
  folder = join(parent, "archive");
  cpSync(FIXTURE, folder, { recursive: true });
});

afterEach(() => {
  rmSync(parent, { recursive: true });
});

const CHANGES: readonly (readonly [string, () => void])[] = [
  ["is gone", () => renameSync(folder, `${folder}.old`)],
  ["has another toc.dat", () => utimesSync(join(folder, "toc.dat"), 1, 1)],
];

test.each(CHANGES)("checkUnchanged() of a directory tells that it %s", async (_, change) => {
  await using source = await openRestorableSource(folder, new AbortController().signal);
  await source.checkUnchanged();
  change();
  await expect(source.checkUnchanged()).rejects.toMatchObject({
    code: "archive_invalid",
    message: `folder "${folder}" was written to while it was being read`,
  });
});
