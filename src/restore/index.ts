// The restore room: entries and their data into a target.

export { type Adaptation, type AdaptationRule } from "./adaptations.ts";
export { type RestoreOptions, type RestoreSection } from "./options.ts";
export { planRestore, type PlanTarget, type RestorePlan, type RestoreTask } from "./plan.ts";
export type { EntryError, EntryFailure, RestoreEvent, RestoreResult, TableRows } from "./result.ts";
export { runRestore, type RunOptions } from "./run.ts";
export { selectEntries, type Selection, type Wanted } from "./selection.ts";
export type { ConnectTarget } from "./session.ts";
export { readSessionDefaults } from "./session-settings.ts";
export { connectCommand, sqlScript, type SqlScriptOptions } from "./sql-script.ts";
export { planScratch, type ScratchPlan, type ScratchRequest } from "./scratch.ts";
export type { LeftOut } from "./scratch-closure.ts";
export { identifyRestore } from "./restore-record.ts";
export { runScratch, type ScratchResult } from "./run-scratch.ts";
export {
  checkTarget,
  objectsOfTarget,
  type TargetCheck,
  type TargetExpectation,
  type TargetFinding,
} from "./target.ts";
export {
  compareContents,
  compareTocs,
  entryName,
  type ContentComparison,
  type Difference,
  type Excused,
  type NotCompared,
  type TableComparison,
  type WordingReference,
} from "./compare/index.ts";
export { databaseNameOf, serverNeeds, withDatabaseName, type ServerNeeds } from "./server-needs.ts";
