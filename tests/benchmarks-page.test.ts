// docs/benchmarks.md: what was measured by hand stays when the benchmark writes the page.

import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { benchmarksPage, BY_HAND_LINE } from "../bench/report.ts";
import type { Report } from "../bench/report.ts";

const REPORT: Report = { machine: ["2 cores"], scale: 1, textBytes: 1e9, pairs: 3, figures: [], runs: [], notes: [] };

test("benchmarksPage() keeps what stands below the line, and nothing else of the page before", () => {
  const byHand = `${BY_HAND_LINE}\n\n## By hand\n\n1.5 s\n`;
  const first = benchmarksPage(REPORT, `# Benchmarks\n\nout of date\n\n${byHand}`);
  expect(first).toContain("- 2 cores");
  expect(first).not.toContain("out of date");
  expect(first.endsWith(`\n\n${byHand}`)).toBe(true);
  expect(benchmarksPage(REPORT, first)).toBe(first);
});

test("benchmarksPage() makes the line where there was none", () => {
  expect(benchmarksPage(REPORT, "")).toMatch(new RegExp(`${BY_HAND_LINE}\\n$`));
});

test("docs/benchmarks.md has the line once, above the sections by hand", async () => {
  const page = await readFile(new URL("../docs/benchmarks.md", import.meta.url), "utf8");
  const [written = "", byHand = "", ...more] = page.split(BY_HAND_LINE);
  expect(more).toEqual([]);
  expect(written).toContain("## Raw figures");
  expect(byHand).toContain("## Listing 10,000 restore points in S3");
  expect(benchmarksPage(REPORT, page).endsWith(BY_HAND_LINE + byHand)).toBe(true);
});
