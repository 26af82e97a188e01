// `cairn drill`.

export { runDrill } from "./drill.ts";
export type { ClusterDrillReport, DrillReport, DrillSettings, OnRestored } from "./types.ts";
