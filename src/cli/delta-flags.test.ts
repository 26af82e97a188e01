import { expect, test } from "vitest";

import { parseCommandLine } from "./command-line.ts";
import { deltaChoiceOf } from "./delta-flags.ts";

async function choiceOf(...words: string[]): Promise<unknown> {
  const request = await parseCommandLine(["backup", ...words], "0");
  return request.kind === "run" ? deltaChoiceOf(request.line) : null;
}

test("deltaChoiceOf() takes what is given, and auto", async () => {
  expect(await choiceOf()).toBe("auto");
  for (const choice of ["auto", "always", "never"]) expect(await choiceOf("--deltas", choice)).toBe(choice);
  await expect(choiceOf("--deltas", "off")).rejects.toThrow('--deltas must be auto, always or never, not "off"');
});
