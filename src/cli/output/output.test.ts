// What is printed: every renderer, with hostile names; JSON; errors and notices.

import { describe, expect, test } from "vitest";
import { AssertionError } from "../../base/assert.ts";
import { OperatingError } from "../../base/errors.ts";
import { InterruptedError } from "../interrupted-error.ts";
import { renderBackup } from "./backup.ts";
import { cellWidth, cutToWidth } from "./cell-width.ts";
import { renderCheck } from "./check.ts";
import { renderDoctor } from "./doctor.ts";
import { renderDump } from "./dump.ts";
import { renderExpire } from "./expire.ts";
import { renderExport } from "./export.ts";
import { renderHold, renderRelease } from "./hold.ts";
import { renderInit } from "./init.ts";
import { errorDocument, jsonText } from "./json.ts";
import { renderList } from "./list.ts";
import { errorText, noticeText } from "./messages.ts";
import { renderPrune } from "./prune.ts";
import { renderRestore } from "./restore.ts";
import * as samples from "./sample-results.fixture.ts";
import { sanitizeLine, sanitizeText } from "./sanitize.ts";
import { renderShow } from "./show.ts";
import { formatTime, tableLines, TABLES_SHOWN_MAX } from "./text.ts";
import { renderVerify } from "./verify.ts";

const SAFE_NAME = String.raw`public.evil\x1b]0;gotcha\x07\rx\ny\u{202e}z\x9b31m`;

describe("sanitizeLine()", () => {
  test("shows what a terminal would obey", () => {
    expect(sanitizeLine(samples.HOSTILE)).toBe(SAFE_NAME);
    expect(sanitizeLine("\ud800")).toBe(String.raw`\u{d800}`);
    expect(sanitizeLine("a\u2028b\u0085\u007f")).toBe(String.raw`a\u{2028}b\x85\x7f`);
  });

  test("leaves words of all scripts and emoji as they are", () => {
    const text = "Zürich 東京 👩‍💻 नमस्ते مرحبا a\\b";
    expect(sanitizeLine(text)).toBe(text);
    expect(sanitizeText(`${text}\n\tx`)).toBe(`${text}\n\tx`);
  });
});

describe("renderers", () => {
  test.each([
    ["init", renderInit(samples.initResult)],
    ["backup", renderBackup(samples.backupReceipt)],
    ["dump", renderDump(samples.dumpReceipt)],
    ["export", renderExport(samples.exportReport)],
    ["doctor", renderDoctor(samples.doctorReport)],
    ["list", renderList(samples.listResult)],
    ["show", renderShow(samples.showResult)],
    ["restore", renderRestore(samples.restoreReport)],
    ["verify", renderVerify(samples.verifyReport)],
    ["expire", renderExpire(samples.expireReport)],
    ["check", renderCheck(samples.checkReport)],
    ["prune", renderPrune(samples.pruneReport)],
    ["hold", renderHold(samples.holdReport)],
  ])("of %s let no control character through, and end with a line end", (verb, text) => {
    expect(text).toBe(sanitizeText(text));
    expect(text.endsWith("\n")).toBe(true);
    // init's sample holds no name of a database; a GRANT that is to be copied keeps its line ends.
    expect(verb === "init" || text.replaceAll(/\n\s*/g, "\\n").includes(SAFE_NAME)).toBe(true);
  });

  test("renderInit() says where the kit is, and explains it", () => {
    expect(renderInit(samples.initResult)).toContain("Keep the recovery kit apart");
    const inFile = renderInit({ ...samples.initResult, recoveryKitFile: "/k" });
    expect(inFile).toMatch(/recovery kit +\/k\n/);
    const plain = renderInit({ ...samples.initResult, isEncrypted: false });
    expect(plain).toContain("It is not encrypted");
    expect(plain).not.toContain("recovery kit");
  });

  test("renderBackup() tells all of the receipt", () => {
    const reading = { ...samples.backupReceipt.reading, allReadBecause: "it is the first one" };
    const deltas = { ...samples.backupReceipt.deltas, withoutBecause: "it is slow" };
    const receipt = {
      ...samples.backupReceipt,
      reading,
      deltas,
      lineage: "l",
      databaseName: "shop",
      warnings: ["careful"],
    };
    expect(renderBackup(receipt)).toBe(`Took restore point 20261122T100000Z-abc.

lineage        l
parent         none, it is the first of its lineage
repository     /backups
source         shop on host
database       shop
server         PostgreSQL 18.6
pg_dump        18.3, bundled
snapshot       2026-11-22 10:00:00 UTC
started        2026-11-22 10:00:00 UTC
finished       2026-11-22 10:00:00 UTC, after 1 min 05 s
contents       12 entries, 1 table
rows           1,234,567
large objects  3
data           2.9 MiB of plain text
read           3 segments, 2.9 MiB of plain text
               everything was read: it is the first one
stored         977 KiB sealed
  of it new    1000 B
  taken over   976 KiB from earlier restore points
  as deltas    2 chunks, 2.4 MiB of plain text in 900 B; 781 KiB read back for them in 3 requests
               1 changed chunk stored whole, 9.8 KiB: it is slow
globals        2 roles without passwords: they may not be read, 1 membership, 1 tablespace

Warnings:
  - careful
`);
  });

  test("renderDoctor() keeps the report's order, shows each finding with its cure and its statements, and the verdict last", () => {
    const lines = renderDoctor({ ...samples.doctorReport, isReady: false })
      .trimEnd()
      .split("\n");
    expect(lines.findIndex((line) => line.startsWith("blocking"))).toBeLessThan(
      lines.findIndex((line) => line.startsWith("ok")),
    );
    expect(lines).toContain("          Cure: Grant it.");
    expect(lines).toContain("            GRANT SELECT ON a TO x;");
    expect(lines.at(-1)).toBe("Not ready for a backup: 1 finding to be cured first, with 1 warning.");
    expect(renderDoctor(samples.doctorReport)).toContain("Ready for a backup, with 1 warning.\n");
  });

  test("renderRestore() lists failures last, and never calls such a restore whole", () => {
    const failure = { dumpId: 7, description: "EXTENSION", tag: "postgis", error: "extension is not available" };
    const text = renderRestore({ ...samples.restoreReport, entriesFailed: [failure], isComplete: false });
    expect(text).toContain("FAILED:\n  - 7; EXTENSION postgis: extension is not available\n\nNOT COMPLETE: 1 entry of");
    expect(renderRestore({ ...samples.restoreReport, isComplete: false })).toContain("NOT COMPLETE");
    expect(renderRestore(samples.restoreReport)).toContain("Everything asked for");
  });

  test("renderDump() and renderRestore() show the largest of many tables, and what the others hold together", () => {
    const names = Array.from({ length: 10_000 }, (_, index) => `public.t${index}`);
    const tables = names.map((name, index) => ({ name, rowCount: index, rawBytes: index * 1024 }));
    const dump = renderDump({ ...samples.dumpReceipt, tables }).split("\n");
    const first = dump.findIndex((line) => line.startsWith("table "));
    expect(dump[first + 1]).toMatch(/^public\.t9999 +9,999 +9\.8 MiB$/);
    expect(dump[first + TABLES_SHOWN_MAX]).toMatch(/^public\.t9970 /);
    expect(dump.slice(first + TABLES_SHOWN_MAX + 1)).toEqual([
      "and 9,970 more: 49,695,465 rows, 47.4 GiB (--json lists them all)",
      "",
    ]);
    const restored = tables.map(({ name, rowCount }) => ({ name, rowCount }));
    const restore = renderRestore({ ...samples.restoreReport, tables: restored });
    expect(restore).toContain("\nand 9,970 more: 49,695,465 rows (--json lists them all)\n");
    expect(restore.split("\n").length).toBeLessThan(60);
  });

  test("renderVerify() names damage with its tables", () => {
    const text = renderVerify({ ...samples.verifyReport, isIntact: false });
    expect(text).toContain("is DAMAGED: 1 object.");
    expect(text).toContain(`packs/00/x: authentication failed; touches ${SAFE_NAME}`);
  });

  test("renderExpire() says what became of each, why, and what failed", () => {
    const lines = renderExpire(samples.expireReport).trimEnd().split("\n");
    expect(lines[0]).toBe(`${SAFE_NAME}:`);
    expect(lines[2]).toMatch(/^20261122T100000Z-abc {2}2026-11-22 10:00:00 UTC {2}keep +held: /);
    expect(lines[3]).toMatch(/ removed +not one of the last 1$/);
    expect(lines[4]).toContain("FAILED");
    expect(lines.at(-1)).toBe(
      'Removed 1 restore point, 1 stays. COULD NOT REMOVE 1. Their space comes back with "cairn prune".',
    );
    const dry = renderExpire({ ...samples.expireReport, isDryRun: true, failedCount: 0 });
    expect(dry).toContain("would remove");
    expect(dry).toContain("Would remove 1 restore point, 1 stays. Nothing was changed.\n");
  });

  test("renderCheck() names damage by restore point and table", () => {
    const text = renderCheck(samples.checkReport);
    expect(text).toMatch(/^The repository is DAMAGED: 2 findings\.\n/);
    expect(text).toContain(`  - 20261122T100000Z-abc: pack x: it is missing, touches ${SAFE_NAME}\n`);
    expect(text).toContain("  - the repository: prune lists: authentication failed\n");
    expect(text).toContain('not needed      1 pack, 1.0 KiB ("cairn prune" removes them)');
    expect(renderCheck({ ...samples.checkReport, isWhole: true, findings: [] })).toContain("The repository is whole.");
  });

  test("renderPrune() says what was done, what waits and what failed, and cuts long lists", () => {
    const text = renderPrune(samples.pruneReport);
    expect(text).toMatch(/^Pruned, but 1 failed\.\n\nfreed +2\.0 KiB\n/);
    expect(text).toContain("Deleted:\n  - 20261122T100000Z-abc-0 (2.0 KiB): no restore point needs it\n");
    expect(text).toContain("Waiting:\n  - list 20261122T100000Z-abc (1 pack): ");
    expect(text).toContain("FAILED:\n  - 20261122T100000Z-abc-1");
    const many = Array.from({ length: 100 }, () => samples.pruneReport.decisions[0]!);
    const dry = renderPrune({ ...samples.pruneReport, isDryRun: true, decisions: many, failedCount: 0 });
    expect(dry).toContain("and 60 more; --json names all");
    expect(dry).toContain("Would delete:");
    expect(renderPrune({ ...samples.pruneReport, decisions: [], waiting: [] })).toContain("Everything is needed.");
  });

  test("renderRelease() says so when there was no hold", () => {
    const restorePointId = "20261122T100000Z-abc";
    expect(renderRelease({ restorePointId, releasedCount: 0 })).toContain("was not held");
    expect(renderRelease({ restorePointId, releasedCount: 2 })).toContain("(2 holds taken away)");
  });

  test("renderList() says so when there is nothing", () => {
    expect(renderList({ restorePoints: [], leftovers: [] })).toBe("No restore points.\n");
  });

  test("renderShow() gives lists and definitions as they are", () => {
    expect(renderShow({ what: "list", text: "; a\n" })).toBe("; a\n");
  });
});

test("tableLines() sets wide characters below one another", () => {
  expect(
    tableLines(
      [{ heading: "t" }, { heading: "n", align: "right" }],
      [
        ["東京", "1"],
        ["a", "10"],
      ],
    ),
  ).toEqual(["t      n", "東京   1", "a     10"]);
});

test("cellWidth() and cutToWidth() count cells", () => {
  expect([cellWidth("abc"), cellWidth("東京"), cellWidth("é"), cellWidth("🙂")]).toEqual([3, 4, 1, 2]);
  expect([cutToWidth("abcdef", 4), cutToWidth("東京都", 4), cutToWidth("abc", 3), cutToWidth("abc", 0)]).toEqual([
    "abc…",
    "東…",
    "abc",
    "",
  ]);
});

test("formatTime() leaves what is no time", () => {
  expect([formatTime("2026-11-22T10:00:00Z"), formatTime("yesterday")]).toEqual([
    "2026-11-22 10:00:00 UTC",
    "yesterday",
  ]);
});

describe("jsonText()", () => {
  test("writes a bigint as digits, and a document that says the same with nothing that a terminal obeys", () => {
    const text = jsonText({ lsn: 18446744073709551617n, name: samples.HOSTILE, emoji: "🙂" });
    expect(sanitizeText(text)).toBe(text);
    expect(JSON.parse(text)).toEqual({ lsn: "18446744073709551617", name: samples.HOSTILE, emoji: "🙂" });
  });

  test("writes errors with all their parts", () => {
    const error = new OperatingError("wrong_key", "no", { detail: "D.", hint: "H." });
    expect(errorDocument(error)).toEqual({ error: { code: "wrong_key", message: "no", detail: "D.", hint: "H." } });
    expect(errorDocument(new OperatingError("usage", "no"))).toEqual({
      error: { code: "usage", message: "no", detail: null, hint: null },
    });
    expect(errorDocument(new InterruptedError("SIGINT"))).toMatchObject({ error: { code: "interrupted" } });
    expect(errorDocument(new TypeError("x"))).toMatchObject({ error: { code: "internal", message: "x" } });
  });
});

describe("errorText()", () => {
  test("is as PostgreSQL writes it", () => {
    const error = new OperatingError("query_failed", "could not read\u001b[2J", { detail: "One.\nTwo.", hint: "Try." });
    expect(errorText(error, false)).toBe(
      "cairn: error: could not read\\x1b[2J\nDETAIL:  One.\n         Two.\nHINT:  Try.\n",
    );
  });

  test("asks to report a defect, and shows the stack only when asked", () => {
    const text = errorText(new AssertionError("x"), false);
    expect(text).toContain("cairn: error: internal error: assertion failed: x\nHINT:  This is a defect of Cairn");
    expect(text).not.toContain(" at ");
    expect(errorText(new AssertionError("x"), true)).toContain("    at ");
    expect(errorText("odd", false)).toContain("internal error: odd");
  });

  test("is short for an interruption", () => {
    expect(errorText(new InterruptedError("SIGTERM"), false)).toBe("cairn: error: interrupted by SIGTERM\n");
  });
});

test("noticeText() has severity, detail and hint", () => {
  expect(noticeText({ severity: "warning", message: "careful", hint: "Look." })).toBe(
    "cairn: warning: careful\nHINT:  Look.\n",
  );
  expect(noticeText({ severity: "info", message: "by the way" })).toBe("cairn: note: by the way\n");
});
