// `cairn export`.

export { runExport } from "./export.ts";
export type { ExportReport, ExportSettings } from "./types.ts";
