// `cairn coverage`.

export { runCoverage } from "./coverage.ts";
export type { CoverageReport, CoverageSettings } from "./types.ts";
