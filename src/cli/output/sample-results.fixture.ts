// Results for tests of what is printed. One name in them is hostile.

import type { BackupReceipt } from "../../operations/backup/types.ts";
import type { CheckReport } from "../../operations/check/types.ts";
import type { DoctorReport } from "../../operations/doctor/types.ts";
import type { DumpReceipt } from "../../operations/dump/types.ts";
import type { ExpireReport } from "../../operations/expire/types.ts";
import type { ExportReport } from "../../operations/export/types.ts";
import type { HoldReport } from "../../operations/hold/types.ts";
import type { ListResult, ListedRestorePoint } from "../../operations/list/types.ts";
import type { PruneReport } from "../../operations/prune/types.ts";
import type { RestoreReport } from "../../operations/restore/types.ts";
import type { ShowResult } from "../../operations/show/types.ts";
import type { VerifyReport } from "../../operations/verify/types.ts";
import type { InitCommandResult } from "../commands/init.ts";

/** Sets the window's title, goes to the line's begin, breaks the line, and turns the writing direction. */
export const HOSTILE = "public.evil\u001b]0;gotcha\u0007\rx\ny\u202ez\u009b31m";

const taken = "2026-11-22T10:00:00.123Z";

export const initResult: InitCommandResult = {
  repositoryId: "0123",
  location: "/backups",
  isEncrypted: true,
  hasPassphrase: true,
  recipientCount: 0,
  recoveryKitFile: null,
  like: null,
};

export const backupReceipt: BackupReceipt = {
  id: "20261122T100000Z-abc",
  lineage: HOSTILE,
  parentId: null,
  repository: "/backups",
  source: "shop on host",
  databaseName: HOSTILE,
  serverVersion: "18.6",
  pgDump: { version: "18.3", path: null },
  startedAt: taken,
  finishedAt: taken,
  snapshotTakenAt: taken,
  durationMs: 65_000,
  entryCount: 12,
  tableCount: 1,
  rowCount: 1_234_567,
  largeObjectCount: 3,
  rawBytes: 3_000_000,
  sealedBytes: 1_000_000,
  newBytes: 1000,
  reusedBytes: 999_000,
  deltas: {
    chunkCount: 2,
    rawBytes: 2_500_000,
    storedBytes: 900,
    fetchedBytes: 800_000,
    requestCount: 3,
    withoutBecause: HOSTILE,
    wholeChunkCount: 1,
    wholeBytes: 10_000,
  },
  reading: {
    readSegmentCount: 3,
    takenOverSegmentCount: 0,
    notReusableSegmentCount: 0,
    readRawBytes: 3_000_000,
    takenOverRawBytes: 0,
    allReadBecause: HOSTILE,
    largeObjects: { takenOverCount: 0, readBecause: { "everything is read": 3 } },
    waited: { beforeReadingMs: 0, afterReadingMs: 0, isCheckpointMade: false },
    noParentBecause: null,
    selfCheck: null,
    explanation: null,
  },
  globals: { roleCount: 2, membershipCount: 1, tablespaceCount: 1, passwords: "not readable" },
  findings: [],
  warnings: [`table ${HOSTILE} is odd`],
};

export const dumpReceipt: DumpReceipt = {
  file: "shop.dump",
  sizeBytes: 1_000_000,
  sha256: "00ff",
  archiveVersion: "1.16",
  compression: "zstd:3",
  readableBy: "pg_restore 17 and later",
  source: "shop on host",
  databaseName: "shop",
  serverVersion: "18.6",
  pgDump: { version: "18.6", path: "/usr/bin/pg_dump" },
  startedAt: taken,
  finishedAt: taken,
  snapshotTakenAt: taken,
  durationMs: 900,
  entryCount: 1,
  tables: [
    { name: "public.orders", rowCount: 100_000, rawBytes: 2_000_000 },
    { name: HOSTILE, rowCount: 0, rawBytes: 0 },
  ],
  rowCount: 100_000,
  rawBytes: 2_000_000,
  largeObjectCount: 0,
  readBack: { rowCount: 100_000, rawBytes: 2_000_000, durationMs: 100 },
  warnings: [],
};

export const exportReport: ExportReport = {
  restorePointId: "20261122T100000Z-abc",
  file: `/tmp/${HOSTILE}`,
  sizeBytes: 1_000_000,
  sha256: "00ff",
  format: "custom",
  archiveVersion: "1.14",
  compression: "gzip",
  readableBy: "pg_restore 12 and later",
  rowCount: 5,
  rawBytes: 6,
  durationMs: 7,
};

export const doctorReport: DoctorReport = {
  source: HOSTILE,
  encryption: HOSTILE,
  serverVersion: "18.6",
  pgDump: null,
  findings: [
    {
      severity: "blocking",
      code: "table-privilege",
      message: `role x may not read ${HOSTILE}`,
      detail: "A detail.",
      hint: "Grant it.",
      statements: ["GRANT SELECT ON a TO x;", `GRANT SELECT ON "${HOSTILE}" TO x;`],
    },
    { severity: "warning", code: "w", message: "be careful" },
    { severity: "ok", code: "a", message: "all is well" },
  ],
  isReady: true,
};

export const listedPoint: ListedRestorePoint = {
  id: "20261122T100000Z-abc",
  lineage: HOSTILE,
  databaseName: "shop",
  serverVersion: "18.6",
  snapshotTakenAt: taken,
  durationMs: 1000,
  rowCount: 100_000,
  rawBytes: 2_000_000,
  sealedBytes: 1_000_000,
  newBytes: 1000,
  tags: { release: HOSTILE },
  warningCount: 2,
  verifiedAt: null,
  isDamaged: true,
  drilledAt: null,
  drillOutcome: null,
  isHeld: false,
  copiedFrom: null,
  cluster: null,
};

export const listResult: ListResult = { restorePoints: [listedPoint], leftovers: [`packs/00/${HOSTILE}`] };

export const showResult: ShowResult = {
  what: "summary",
  restorePoint: listedPoint,
  pgDump: "18.3, bundled",
  options: [`--table=${HOSTILE}`],
  warnings: [HOSTILE],
  tables: [{ name: HOSTILE, rowCount: 1, rawBytes: 2, sealedBytes: 3 }],
  largeObjectCount: 4,
  globals: null,
  cluster: null,
};

export const restoreReport: RestoreReport = {
  restorePointId: "20261122T100000Z-abc",
  database: HOSTILE,
  isScratch: true,
  entriesDone: 4,
  entriesFailed: [],
  entriesLeftOut: [`FK CONSTRAINT ${HOSTILE}`],
  adaptations: ["transaction_timeout was left out"],
  tables: [{ name: HOSTILE, rowCount: 5 }],
  rowCount: 5,
  rawBytes: 6,
  largeObjectCount: 0,
  durationMs: 7,
  bytesRead: 8,
  requestCount: 1,
  isComplete: true,
};

export const verifyReport: VerifyReport = {
  restorePointId: "20261122T100000Z-abc",
  isIntact: true,
  chunkCount: 1,
  bytesRead: 2,
  rawBytes: 3,
  rowCount: 4,
  durationMs: 5,
  damage: [{ object: "packs/00/x", reason: "authentication failed", tables: [HOSTILE] }],
};

export const expireReport: ExpireReport = {
  isDryRun: false,
  timeZone: "UTC",
  keptCount: 1,
  removedCount: 1,
  failedCount: 1,
  restorePoints: [
    {
      id: "20261122T100000Z-abc",
      lineage: HOSTILE,
      snapshotTakenAt: taken,
      isKept: true,
      reasons: [`held: ${HOSTILE}`],
      failure: null,
    },
    {
      id: "20261121T100000Z-abc",
      lineage: HOSTILE,
      snapshotTakenAt: taken,
      isKept: false,
      reasons: ["not one of the last 1"],
      failure: null,
    },
    {
      id: "20261120T100000Z-abc",
      lineage: HOSTILE,
      snapshotTakenAt: null,
      isKept: false,
      reasons: ["not one of the last 1"],
      failure: HOSTILE,
    },
  ],
};

export const holdReport: HoldReport = { restorePointId: "20261122T100000Z-abc", at: taken, reason: HOSTILE };

export const pruneReport: PruneReport = {
  isDryRun: false,
  decisions: [
    {
      action: "deleted",
      name: "20261122T100000Z-abc-0",
      sizeBytes: 2048,
      reason: "no restore point needs it",
      failure: null,
    },
    { action: "repacked", name: "20261122T100000Z-abc-1", sizeBytes: 1024, reason: "3 of its items", failure: HOSTILE },
  ],
  waiting: [{ id: "20261122T100000Z-abc", packCount: 1, reason: `a backup on "${HOSTILE}" may be at work` }],
  freedBytes: 2048,
  listedBytes: 0,
  failedCount: 1,
  packCount: 12,
  totalBytes: 1_000_000,
  durationMs: 900,
};

export const checkReport: CheckReport = {
  isWhole: false,
  restorePointCount: 2,
  packCount: 12,
  packBytes: 1_000_000,
  chunkCount: 1234,
  readPackCount: 0,
  readBytes: 0,
  durationMs: 900,
  findings: [
    { restorePointId: "20261122T100000Z-abc", object: "pack x", reason: "it is missing", tables: [HOSTILE] },
    { restorePointId: null, object: "prune lists", reason: "authentication failed", tables: [] },
  ],
  unneededPackCount: 1,
  unneededBytes: 1024,
  unfinishedCount: 0,
  deadRuns: ["20261122T100000Z-abc"],
};
