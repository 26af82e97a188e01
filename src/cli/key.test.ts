// The command line of keys: its settings, and what it prints.

import { describe, expect, test } from "vitest";
import type { Caller } from "./caller.ts";
import { parseCommandLine } from "./command-line.ts";
import { key } from "./commands/key.ts";
import type { KeyCommandResult } from "./commands/key.ts";
import { HOSTILE } from "./output/sample-results.fixture.ts";
import { sanitizeText } from "./output/sanitize.ts";

const caller: Caller = {
  environment: {},
  isOutputTerminal: false,
  signal: new AbortController().signal,
  askSecret: null,
  showText: async () => undefined,
  notify: () => undefined,
};

async function settingsOf(words: readonly string[]): Promise<unknown> {
  const request = await parseCommandLine([...words, "-R", "/r"], "1");
  if (request.kind !== "run") throw new Error("no command");
  return await request.verb.readSettings(request.line, caller);
}

describe("cairn key", () => {
  test("reads its settings", async () => {
    expect(await settingsOf(["key", "list"])).toMatchObject({ change: { action: "list" } });
    expect(await settingsOf(["key", "remove", "12345678"])).toMatchObject({ change: { id: "12345678" } });
    const added = await settingsOf(["key", "add", "--recipient", "age1x", "--label", "safe"]);
    expect(added).toMatchObject({ change: { recipient: "age1x", label: "safe" }, recoveryKitFile: null });
    const rotated = await settingsOf(["key", "rotate", "--recovery-kit", "k", "--drop-others"]);
    expect(rotated).toMatchObject({ change: { dropsOthers: true }, recoveryKitFile: "k" });
  });

  test.each([
    [["turn"], 'no action "turn"'],
    [["remove"], "which key"],
    [["add", "12345678"], "takes no KEY"],
    [["list", "--label", "x"], "makes no sense"],
    [["add", "--drop-others"], "makes no sense"],
    [["add", "--recipient", "x", "--new-passphrase-file", "y"], "together"],
    [["rotate"], "on a terminal only"],
  ])("refuses %j", async (words, message) => {
    await expect(settingsOf(["key", ...words])).rejects.toThrow(message);
  });
});

test("cairn key prints what was done, and no label commands the terminal", () => {
  const slot = { kind: "passphrase", recipient: null, createdAt: null, isOpened: true, label: HOSTILE } as const;
  const result: KeyCommandResult = {
    action: "rotate",
    repositoryId: "0123",
    slots: [{ ...slot, id: "01234567" }],
    dataKeys: [{ id: "aa", isCurrent: true }, { id: "bb", isCurrent: false }], // prettier-ignore
    added: null,
    removed: [{ ...slot, id: "89abcdef" }],
    remaining: [{ name: "cairn.json", reason: HOSTILE }],
    recoveryKitFile: null,
  };
  const text = key.render(result);
  expect(text).toBe(sanitizeText(text));
  for (const part of ["Keep the new recovery kit", "89abcdef", "cairn.json", "1 earlier one"])
    expect(text).toContain(part);
  expect(key.render({ ...result, action: "list", removed: [] })).not.toContain("Put a new");
});
