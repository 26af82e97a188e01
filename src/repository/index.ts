// The repository: where restore points are kept. Format: docs/formats/repository.md.

export type { CheckFinding } from "./check/types.ts";
export { chunkId, chunkIdPrefix, createChunkIdHash } from "./chunk-id.ts";
export type { ChunkKind } from "./chunk-id.ts";
export type { UnsealedChunk } from "./chunk-reader.ts";
export type { CopyOptions, CopyOutcome, CopyProgress } from "./copy/types.ts";
export type { CreateOptions, OpenOptions } from "./create.ts";
export type { DrillMark, DrillOutcome } from "./drill-marks.ts";
export type { Clock, Random } from "./environment.ts";
export { fullSizeBytes } from "./full-size.ts";
export type { ScryptCost } from "./keys.ts";
export { IDENTITY_FILE_BYTES_MAX, readIdentities } from "./age-slots.ts";
export { openKeyRegister } from "./key-register.ts";
export type { KitKeeper } from "./recovery-kit.ts";
export type { DataKeyFacts, KeySlotFacts, NewSlot } from "./key-register.ts";
export type { Leftovers, OrphanPack } from "./leftovers.ts";
export type { LineageFacts } from "./lineages.ts";
export type { LargeObjectListWriter, SegmentListWriter } from "./list-writer.ts";
export { ListsAhead } from "./listing/lists-ahead.ts";
export type { RestorePointMarks } from "./listing/restore-point-marks.ts";
export type {
  ChunkReference,
  FinishedList,
  LargeObjectRecord,
  OwnLargeObject,
  SegmentRecord,
  SharedLargeObjects,
} from "./lists.ts";
export type {
  ClusterFacts,
  ClusterMember,
  Json,
  LargeObjectSet,
  Lineage,
  Manifest,
  RelationRecord,
  RelationStorage,
  RestorePointFacts,
  RestorePointSummary,
  SnapshotFacts,
  SourceFacts,
  ToolFacts,
  Totals,
} from "./manifest.ts";
export type { Damage, DamageRegister, VerifyMark } from "./marks.ts";
export type { PruneDecision, PruneOptions, PruneResult, WaitingList } from "./prune/types.ts";
export { createRepository, openRepository } from "./repository.ts";
export type { ReadBack } from "./read-back.ts";
export type { ContinuedLineage } from "./lineage-parents.ts";
export type { Repository, StartRunOptions } from "./repository.ts";
export type { RestorePoint } from "./restore-point.ts";
export { Calendar, parseSpan } from "./retention/calendar.ts";
export type { ExpireDecision } from "./retention/expire.ts";
export type { HoldMark } from "./retention/holds.ts";
export { hasKeepRule } from "./retention/policy.ts";
export type { RetentionRules, TagPattern } from "./retention/policy.ts";
export type { CommitInput, NewChunk, Run } from "./run.ts";
export type { RunRecord, SeenRun } from "./run-record.ts";
export { TAG_BYTES } from "./sealing.ts";
export type { Transfer } from "./transfer.ts";
export type { VerifyOptions, VerifyProgress, VerifyResult } from "./verify.ts";
