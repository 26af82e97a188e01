// Preflight: what can be looked at before a backup begins.

export type { Finding } from "./finding.ts";
export { patternToRegexes } from "./name-pattern.ts";
export { poolerConsole } from "./pooler.ts";
export { checkEntries, entryOidsOf, runPreflight, type EntryOids, type PreflightOptions } from "./preflight.ts";
