// `cairn drill`.

export { runDrill } from "./drill.ts";
export type { DrillReport, DrillSettings, OnRestored } from "./types.ts";
