import { expect, test } from "vitest";

import { READING_DEFAULTS } from "../operations/backup/incremental/types.ts";
import { parseCommandLine } from "./command-line.ts";
import { readingSettingsOf } from "./reading-flags.ts";

async function settingsOf(...words: string[]): Promise<unknown> {
  const request = await parseCommandLine(["backup", ...words], "0");
  return request.kind === "run" ? readingSettingsOf(request.line) : null;
}

test("readingSettingsOf() takes the defaults, and what is given", async () => {
  expect(await settingsOf()).toEqual(READING_DEFAULTS);
  const words = ["--explain", "--reread", "--reread-every", "0", "--checkpoint", "now"];
  expect(await settingsOf(...words)).toEqual({
    isFull: false,
    isExplained: true,
    isReread: true,
    rereadEvery: 0,
    checkpoint: "now",
  });
});

test.each([
  ["--checkpoint", "soon"],
  ["--reread-every", "1.5"],
  ["--reread-every", "10000000"],
])("readingSettingsOf() refuses %s %s", async (...words) => {
  await expect(settingsOf(...words)).rejects.toThrow(`${words[0]} must be`);
});

test("readingSettingsOf() takes --full, and not together with --reread, which would compare nothing", async () => {
  expect(await settingsOf("--full")).toMatchObject({ isFull: true, isReread: false });
  await expect(settingsOf("--full", "--reread")).rejects.toThrow("--full and --reread exclude each other");
});
