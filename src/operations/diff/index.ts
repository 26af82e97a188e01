// `cairn diff`.

export { runDiff } from "./diff.ts";
export type { DiffReport, DiffSettings } from "./types.ts";
