// A parent and a run that may take over from it; tests change one thing and see what is said.

import type { IncrementalRecord, RelationShape, WalSummary } from "../types.ts";
import type { RunFacts } from "./text-shape.ts";

export const SEGMENT = 512;

export function summary(startLsn: number, endLsn: number, timeline = 1): WalSummary {
  return { timeline, startLsn: BigInt(startLsn), endLsn: BigInt(endLsn) };
}

/** Checkpoints at 1000, 2000, 3000, 4000. */
export const SUMMARIES = [summary(500, 1000), summary(1000, 2000), summary(2000, 3000), summary(3000, 4000)];

/** pg_largeobject: 700 blocks. */
export const LARGE_OBJECTS: RelationShape = {
  oid: 2613,
  tablespaceOid: 1663,
  filenode: 2613,
  persistence: "p",
  accessMethod: "heap",
  blockCount: 700,
  columnFingerprint: "03".repeat(32),
  typeFingerprint: "04".repeat(32),
  alwaysReadBecause: null,
  isStable: true,
};

/** Snapshot at 1500 with base 1000 and seal 2000. */
export const PARENT: IncrementalRecord = {
  position: {
    systemIdentifier: "7300000000000000001",
    databaseOid: 5,
    timeline: 1,
    hostRole: "primary",
    postmasterStartedAt: "2026-01-01T00:00:00.000Z",
    serverVersionNum: 180_006,
    xmin: 750n,
    xmax: 760n,
    snapshotLsn: 1500n,
  },
  text: {
    settings: {
      client_encoding: "UTF8",
      DateStyle: "ISO, MDY",
      IntervalStyle: "postgres",
      TimeZone: "UTC",
      extra_float_digits: "3",
      bytea_output: "hex",
      search_path: '""',
      quote_all_identifiers: "off",
      lc_monetary: "C",
      row_security: "off",
    },
    selection: ["--schema=public"],
    segmentBlockCount: SEGMENT,
    readerVersion: 1,
  },
  checkpoints: [{ timeline: 1, redoLsn: 1000n, nextXid: 740n }],
  baseLsn: 1000n,
  sealLsn: 2000n,
  summaryDigest: "ab".repeat(32),
  largeObjects: LARGE_OBJECTS,
  runsSinceFullRead: 3,
  distrustedBecause: null,
};

/** Snapshot at 3500. */
export const NOW: RunFacts = {
  position: { ...PARENT.position, xmin: 800n, xmax: 800n, snapshotLsn: 3500n },
  text: PARENT.text,
};

/** 2,000 blocks: segments 0 to 3. */
export const TABLE: RelationShape = {
  oid: 16_400,
  tablespaceOid: 1663,
  filenode: 16_400,
  persistence: "p",
  accessMethod: "heap",
  blockCount: 2000,
  columnFingerprint: "01".repeat(32),
  typeFingerprint: "02".repeat(32),
  alwaysReadBecause: null,
  isStable: true,
};
