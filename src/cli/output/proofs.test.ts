// What drill, diff and coverage print, and the page of a drill's evidence: the verdict is there, and no name commands a
// terminal or a browser.

import { expect, test } from "vitest";
import type { CoverageReport } from "../../operations/coverage/types.ts";
import type { DiffReport } from "../../operations/diff/types.ts";
import { evidencePage } from "../../operations/drill/evidence-page.ts";
import type { DrillReport } from "../../operations/drill/types.ts";
import { renderCoverage } from "./coverage.ts";
import { renderDiff } from "./diff.ts";
import { renderDrill } from "./drill.ts";
import { HOSTILE } from "./sample-results.fixture.ts";
import { sanitizeText } from "./sanitize.ts";

const taken = "2026-11-22T10:00:00.000Z";
const MARKUP = "<img src=x onerror=alert(1)>\"'&";

const drillReport: DrillReport = {
  restorePointId: "20261122T100000Z-abc",
  lineage: HOSTILE,
  databaseName: HOSTILE,
  snapshotTakenAt: taken,
  repository: "/backups",
  outcome: "failed",
  server: { kind: "throwaway", version: "18.6", description: "throwaway server 18.6" },
  startedAt: taken,
  finishedAt: taken,
  restoreDurationMs: 65_000,
  phases: [{ name: "restore", durationMs: 65_000 }],
  rowCount: 1_234_567,
  rawBytes: 3_000_000,
  compared: { tables: 1, sequences: 2, constraints: 3, indexes: 1, largeObjects: 0, entries: 1200 },
  pgDump: { version: "18.6", path: null },
  tables: [
    { name: HOSTILE + MARKUP, storedRows: 2, restoredRows: null, storedSum: "00", restoredSum: null, isEqual: false },
  ],
  differences: [{ kind: "rows", name: HOSTILE, what: "is missing", expected: MARKUP, found: HOSTILE }],
  notCompared: [{ name: HOSTILE, reason: MARKUP }],
  excused: [{ name: HOSTILE, reason: "equal otherwise" }],
  adaptations: [HOSTILE],
  assertions: [{ sql: `SELECT '${HOSTILE}'`, isTrue: false, problem: "it is false" }],
  warnings: [HOSTILE],
  evidence: { json: `/e/${HOSTILE}.json`, html: "/e/x.html" },
};

const side = { id: "2026", lineage: HOSTILE, databaseName: HOSTILE, snapshotTakenAt: taken, serverVersion: "18.6" };
const diffReport: DiffReport = {
  before: { ...side, rowCount: 1, rawBytes: 2 },
  after: { ...side, rowCount: 3, rawBytes: 4 },
  schema: [{ name: HOSTILE, change: "changed", text: `@@ -1 +1 @@\n-a\n+${HOSTILE}\n` }],
  tables: [{ name: HOSTILE, before: null, after: { rowCount: 3, rawBytes: 4 }, segmentsTouched: 1, segmentCount: 2 }],
  unchangedTableCount: 7,
  sequences: [{ name: HOSTILE, before: "1, true", after: null }],
  largeObjects: { before: { count: 1, rawBytes: 2 }, after: { count: 2, rawBytes: 3 }, isChanged: true },
  warnings: [],
};

const coverageReport: CoverageReport = {
  server: "host:5432",
  serverVersion: "18.6",
  repository: "/backups",
  databases: [
    {
      name: HOSTILE,
      sizeBytes: 1000,
      state: "part",
      restorePoints: [{ id: "2026", lineage: HOSTILE, snapshotTakenAt: taken }],
      tableCount: 3,
      uncovered: [{ kind: "table", name: HOSTILE, reason: "new since", sizeBytes: 10 }],
      problem: null,
    },
  ],
  leftOut: [`${HOSTILE}: it refuses connections`],
  isComplete: false,
};

test.each([
  ["drill", renderDrill(drillReport)],
  ["diff", renderDiff(diffReport)],
  ["coverage", renderCoverage(coverageReport)],
])("%s prints hostile names escaped", (_, text) => {
  expect(sanitizeText(text)).toBe(text);
  expect(text).toContain(String.raw`public.evil\x1b]0;gotcha\x07\rx\ny\u{202e}z\x9b31m`);
});

test("renderDrill() ends with the verdict", () => {
  expect(renderDrill(drillReport)).toMatch(/\nDRILL FAILED: 1 finding in 20261122T100000Z-abc\.\n$/);
  const partial = renderDrill({ ...drillReport, outcome: "partial", differences: [] });
  expect(partial).toMatch(/\nRestored, and nothing is different, but 1 thing was not compared\.\n$/);
  const passed = renderDrill({ ...drillReport, outcome: "passed", differences: [], notCompared: [] });
  expect(passed).toMatch(/\nDrilled: 20261122T100000Z-abc restores, and everything is equal\.\n$/);
  expect(passed).toMatch(/^time to restore +1 min 05 s$/m);
});

test("renderDiff() and renderCoverage() say what changed and what is missing", () => {
  expect(renderDiff(diffReport)).toMatch(/^definitions +0 added, 0 removed, 1 changed$/m);
  expect(renderDiff(diffReport)).toMatch(/ 1 of 2$/m);
  expect(renderCoverage(coverageReport)).toMatch(/\nNOT COVERED: 1 database\.\n$/);
  const whole = { ...coverageReport, isComplete: true };
  expect(renderCoverage(whole)).toMatch(/\nEverything that exists is in a backup\.\n$/);
});

test("evidencePage() holds nothing that a browser would obey or fetch", () => {
  const page = evidencePage(drillReport);
  expect(page).not.toMatch(/<(img|script|link|iframe|object)|url\(|@import|http:|https:/i);
  expect(page).toContain("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;");
  expect(page).toContain("default-src &#39;none&#39;".replaceAll("&#39;", "'"));
  expect(page).not.toMatch(/[^\n\P{Cc}]|\u202e/u);
  expect(page.match(/<(?!meta|!doctype)([a-z0-9]+)[ >]/g)!.length).toBe(page.match(/<\/[a-z0-9]+>/g)!.length);
});
