// docs/commands.md says what the program does: every command, every option, every exit status.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { OperatingError } from "../base/errors.ts";
import { exitStatusOf } from "./exit-status.ts";
import { VERBS } from "./verbs.ts";

const page = readFileSync(new URL("../../docs/commands.md", import.meta.url), "utf8");

/** Chapters whose options all commands share, or several. */
const SHARED = ["What all commands share", "Selection options"];

function chapter(title: string): string {
  const [, after = ""] = page.split(new RegExp(`^#+ ${title}$`, "m"));
  return after.split(/^#+ /m)[0] ?? "";
}

test.each(VERBS.map(({ name }) => name))("the page names every option of %s", async (name) => {
  const verb = await VERBS.find((entry) => entry.name === name)!.load();
  const text = [name, ...SHARED].map(chapter).join("\n");
  for (const { long, short, refuse } of verb.flags) {
    if (refuse !== undefined) continue;
    expect(text).toMatch(new RegExp(`--${long}(?![\\w-])`));
    if (short !== undefined) expect(text).toMatch(new RegExp(`\`-${short}\``));
  }
});

test("the page names every exit status", () => {
  const statuses = ["usage", "query_failed", "no_repository", "locked", "wrong_key", "internal"] as const;
  for (const code of statuses) {
    expect(chapter("Exit status")).toContain(`| ${exitStatusOf(new OperatingError(code, "x"))} |`);
  }
});
