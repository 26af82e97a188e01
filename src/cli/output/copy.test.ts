// What copy prints, with hostile names.

import { expect, test } from "vitest";
import type { CopyReport, CopyRow } from "../../operations/copy/types.ts";
import { renderCopy } from "./copy.ts";
import { HOSTILE } from "./sample-results.fixture.ts";
import { sanitizeText } from "./sanitize.ts";

const row: CopyRow = {
  id: "20261122T100000Z-abc",
  lineage: HOSTILE,
  snapshotTakenAt: "2026-11-22T10:00:00.123Z",
  isCluster: false,
  outcome: "copied",
  failure: null,
  sealedBytes: 10_485_760,
  newBytes: 1_048_576,
  movedPackCount: 1,
  movedBytes: 1_000_000,
  resealedChunkCount: 2,
  resealedBytes: 48_576,
};

const report: CopyReport = {
  from: "/a",
  to: "/b",
  isAlike: true,
  isDryRun: false,
  copiedCount: 1,
  alreadyThereCount: 1,
  failedCount: 1,
  movedPackCount: 1,
  movedBytes: 1_000_000,
  resealedChunkCount: 2,
  resealedBytes: 48_576,
  bytesRead: 2_097_152,
  bytesWritten: 3_145_728,
  durationMs: 1500,
  restorePoints: [
    row,
    { ...row, id: "20261121T100000Z-abc", outcome: "already there", newBytes: 0 },
    { ...row, id: "20261120T100000Z-abc", outcome: "failed", failure: `chunk of ${HOSTILE}` },
  ],
  warnings: [HOSTILE],
};

test("renderCopy() names every restore point, what travelled, and what failed, and lets no control character through", () => {
  const text = renderCopy(report);
  expect(text).toBe(sanitizeText(text));
  const lines = text.trimEnd().split("\n");
  expect(lines[1]).toMatch(/^20261122T100000Z-abc .* 10\.0 MiB +1\.0 MiB +copied$/);
  expect(lines[3]).toMatch(/FAILED: chunk of public\.evil\\x1b/);
  expect(text).toMatch(
    /moved as it is +1 pack, 977 KiB\nsealed anew +2 chunks, 47\.4 KiB\nread +2\.0 MiB\nwritten +3\.0 MiB\n/,
  );
  expect(lines.at(-1)).toBe("Copied 1 restore point. 1 was there already. COULD NOT COPY 1.");
});

test("renderCopy() says what would be copied, counts many that were there, and hides what does not apply", () => {
  const there = Array.from({ length: 20 }, () => ({ ...row, outcome: "already there" as const }));
  const dry = renderCopy({
    ...report,
    isDryRun: true,
    failedCount: 0,
    restorePoints: [{ ...row, outcome: "to be copied" }],
    warnings: [],
  });
  expect(dry).toContain("Would copy 1 restore point. 1 was there already. Nothing was changed.\n");
  expect(dry).not.toContain("sealed anew");
  const nothing = { copiedCount: 0, failedCount: 0, alreadyThereCount: 20, restorePoints: there, warnings: [] };
  expect(renderCopy({ ...report, ...nothing })).toBe("Nothing was copied. 20 were there already.\n");
  expect(renderCopy({ ...report, isAlike: false })).not.toContain("moved as it is");
});
