import { expect, test } from "vitest";

import type { ImportReceipt } from "../../operations/import/types.ts";
import { renderImport } from "./import.ts";
import { HOSTILE } from "./sample-results.fixture.ts";
import { sanitizeText } from "./sanitize.ts";

const RECEIPT: ImportReceipt = {
  id: "20261122T100000Z-abc",
  lineage: HOSTILE,
  parentId: null,
  repository: "/backups",
  file: `/old/${HOSTILE}`,
  format: "tar",
  isQuarantined: false,
  databaseName: HOSTILE,
  serverVersion: HOSTILE,
  pgDumpVersion: HOSTILE,
  archiveCreatedAt: "2026-11-22T10:00:00.000Z",
  entryCount: 3,
  tableCount: 1,
  rowCount: 2,
  largeObjectCount: 0,
  rawBytes: 10,
  newBytes: 20,
  reusedBytes: 0,
  durationMs: 5,
  warnings: [HOSTILE],
};

test("renderImport() lets no control character of an archive through", () => {
  const text = renderImport(RECEIPT);
  expect(text).toBe(sanitizeText(text));
  expect(text).toContain("Made restore point 20261122T100000Z-abc of an archive.");
});

test("renderImport() says that plain SQL is in quarantine", () => {
  expect(renderImport({ ...RECEIPT, format: "plain", isQuarantined: true })).toContain(
    "quarantined: it is kept, and never executed",
  );
});
