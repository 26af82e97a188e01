// Incremental reading: what a run may take over from its parent without reading it (docs/formats/incremental.md).

export { withinLimit } from "./server/ask.ts";
export type { Answer } from "./server/ask.ts";
export { awaitSummaries, SUMMARY_WAIT_LIMIT_MS } from "./server/await-summaries.ts";
export type { AwaitSummariesOptions, SummaryWait } from "./server/await-summaries.ts";
export { readCheckpointDue } from "./server/checkpoint-due.ts";
export { readLargeObjectShape } from "./server/large-objects.ts";
export { markHistory } from "./server/mark-history.ts";
export { isCheckpointFar, makeCheckpoint } from "./server/near-checkpoint.ts";
export { readCheckpoint, readPosition } from "./server/position.ts";
export type { SnapshotOfRun } from "./server/position.ts";
export { readRelationShapes, SeenRelations } from "./server/relation-shapes.ts";
export type { RelationToShape } from "./server/relation-shapes.ts";
export { digestSummaries, listSummaries } from "./server/summaries.ts";
export { readServerSupport } from "./server/support.ts";
export type { ServerSupport } from "./server/support.ts";
export { readTouched } from "./server/touched.ts";
export type { FinerFile, TouchedOptions } from "./server/touched.ts";
export type * from "./types.ts";

export { carryCheckpoints, chooseBase, provenCheckpoints } from "./rules/checkpoints.ts";
export { sealOf, summariesWithin } from "./rules/coverage.ts";
export { judgeLargeObjects } from "./rules/judge-large-objects.ts";
export { judgeRelation, segmentCountOf } from "./rules/judge-relation.ts";
export { judgeDigest, judgeRun } from "./rules/judge-run.ts";
export { formatLsn, parseLsn } from "./rules/lsn.ts";
export { decodeIncremental, decodeRelationShape, encodeIncremental } from "./rules/record-codec.ts";
export { TEXT_SETTINGS } from "./rules/text-shape.ts";
export { touchedBlocks, type TouchedBlocks } from "./rules/touched-blocks.ts";
