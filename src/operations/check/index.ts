// `cairn check`.

export { runCheck } from "./check.ts";
export type { CheckReport, CheckSettings } from "./types.ts";
