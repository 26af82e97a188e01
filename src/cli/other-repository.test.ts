// Command line → settings where two repositories are named: copy, and init --like.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Caller } from "./caller.ts";
import { parseCommandLine } from "./command-line.ts";

function callerWith(environment: Record<string, string> = {}): Caller {
  const signal = new AbortController().signal;
  return {
    environment,
    isOutputTerminal: false,
    signal,
    askSecret: null,
    showText: async () => undefined,
    notify: () => undefined,
  };
}

async function settingsOf(words: string[], caller: Caller = callerWith()): Promise<Record<string, unknown>> {
  const request = await parseCommandLine(words, "1.2.3");
  if (request.kind !== "run") throw new Error("no command");
  return (await request.verb.readSettings(request.line, caller)) as Record<string, unknown>;
}

describe("cairn copy", () => {
  test("reads what is copied, and where to", async () => {
    const environment = { CAIRN_PASSPHRASE: "one", CAIRN_TO_PASSPHRASE: "two", CAIRN_TO_RECOVERY_KEY: "kit" };
    const words = ["copy", "a@b", "latest", "-R", "/r", "--to-repo", "/t", "--last", "2"];
    const settings = await settingsOf(words, callerWith(environment));
    expect(settings).toMatchObject({
      references: ["a@b", "latest"],
      isAll: false,
      last: 2,
      isDryRun: false,
      allowsUnencrypted: false,
      from: { location: "/r", givenPassphrase: "one", givenRecoveryKey: undefined },
      to: { location: "/t", givenPassphrase: "two", givenRecoveryKey: "kit" },
    });
    const alone = callerWith({ CAIRN_PASSPHRASE: "one", CAIRN_TO_REPOSITORY: "/t" });
    const all = ["copy", "--all", "-R", "/r", "--tag", "a=b", "--tag", "c", "--dry-run", "--allow-unencrypted"];
    const whole = (await settingsOf(all, alone)) as unknown as { to: { askPassphrase(): Promise<string> } };
    expect(whole).toMatchObject({
      references: [],
      isAll: true,
      last: null,
      tags: [
        { key: "a", value: "b" },
        { key: "c", value: null },
      ],
      isDryRun: true,
      allowsUnencrypted: true,
      to: { location: "/t", givenPassphrase: null },
    });
    const hint = expect.stringContaining("CAIRN_TO_PASSPHRASE") as string;
    await expect(whole.to.askPassphrase()).rejects.toMatchObject({ hint });
  });

  test("refuses nothing to copy, too much, and nowhere to copy to", async () => {
    await expect(settingsOf(["copy", "-R", "/r", "--to-repo", "/t"])).rejects.toThrow("nothing to copy was named");
    await expect(settingsOf(["copy", "x", "--all", "-R", "/r", "--to-repo", "/t"])).rejects.toThrow(
      "--all stands beside",
    );
    await expect(settingsOf(["copy", "--all", "-R", "/r"])).rejects.toThrow("no repository to copy to was named");
    await expect(settingsOf(["copy", "--all", "--to-repo", "/t"])).rejects.toThrow("no repository was named");
  });
});

describe("cairn init --like", () => {
  test("opens the other repository by what is its own", async () => {
    const folder = await mkdtemp(join(tmpdir(), "cairn-cli-"));
    await writeFile(join(folder, "like-passphrase"), "of the other\n", { mode: 0o600 });
    const words = [
      "init",
      "-R",
      "/r",
      "--recovery-kit",
      "k",
      "--like",
      "/o",
      "--like-passphrase-file",
      join(folder, "like-passphrase"),
    ];
    expect(await settingsOf(words, callerWith({ CAIRN_PASSPHRASE: "own" }))).toMatchObject({
      repository: { location: "/r", givenPassphrase: "own" },
      like: { location: "/o", givenPassphrase: "of the other" },
    });
    expect((await settingsOf(words.slice(0, 5)))["like"]).toBeUndefined();
    await rm(folder, { recursive: true });
  });
});
