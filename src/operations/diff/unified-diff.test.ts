// unifiedDiff() gives hunks as `diff -u` does: they lead from one text to the other.

import fc from "fast-check";
import { expect, test } from "vitest";
import { unifiedDiff } from "./unified-diff.ts";

test("unifiedDiff() shows changed lines with three lines of context", () => {
  const before = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n";
  const after = "a\nb\nc\nd\ne\nF\ng\nh\ni\nj\nk\nl\nm\n";
  expect(unifiedDiff(before, before)).toBe("");
  expect(unifiedDiff(before, after)).toBe("@@ -3,10 +3,11 @@\n c\n d\n e\n-f\n+F\n g\n h\n i\n j\n k\n l\n+m\n");
  expect(unifiedDiff("", "x\n")).toBe("@@ -0,0 +1 @@\n+x\n");
});

/** Applies hunks strictly by their line numbers, and checks their counts and context. */
function patched(before: string, hunks: string): string {
  const [old, made] = [before.split("\n").slice(0, -1), [] as string[]];
  let taken = 0;
  for (const hunk of hunks.split(/^(?=@@ )/m).filter((text) => text !== "")) {
    const [head = "", ...lines] = hunk.split("\n").slice(0, -1);
    const [oldStart, oldCount = "1", newStart, newCount = "1"] = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@$/
      .exec(head)!
      .slice(1);
    const start = Number(oldStart) - (oldCount === "0" ? 0 : 1);
    made.push(...old.slice(taken, start));
    expect(made.length).toBe(Number(newStart) - (newCount === "0" ? 0 : 1));
    const kept = lines.filter((line) => !line.startsWith("+")).map((line) => line.slice(1));
    expect(kept).toEqual(old.slice(start, start + Number(oldCount)));
    const added = lines.filter((line) => !line.startsWith("-")).map((line) => line.slice(1));
    expect(added.length).toBe(Number(newCount));
    made.push(...added);
    taken = start + kept.length;
  }
  return [...made, ...old.slice(taken)].map((line) => `${line}\n`).join("");
}

test("unifiedDiff() leads from the old text to the new one", () => {
  const text = fc
    .array(fc.constantFrom("a", "b", "c", "CREATE TABLE x (", ");", ""), { maxLength: 30 })
    .map((lines) => lines.map((line) => `${line}\n`).join(""));
  fc.assert(
    fc.property(text, text, (before, after) => {
      const hunks = unifiedDiff(before, after);
      expect(hunks === "").toBe(before === after);
      expect(patched(before, hunks)).toBe(after);
    }),
  );
});

test("unifiedDiff() bounds its work on long texts", () => {
  const long = (word: string): string => Array.from({ length: 5000 }, (_, index) => `${word} ${index}\n`).join("");
  const hunks = unifiedDiff(`same\n${long("old")}end\n`, `same\n${long("new")}end\n`);
  expect(hunks.split("\n").filter((line) => line.startsWith("-")).length).toBe(5000);
  expect(hunks).toMatch(/^@@ -1,5002 \+1,5002 @@\n same\n-old 0\n/);
});
