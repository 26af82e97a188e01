// `cairn prune`.

export { runPrune } from "./prune.ts";
export type { PruneReport, PruneSettings } from "./types.ts";
