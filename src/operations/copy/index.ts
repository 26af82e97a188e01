// `cairn copy`.

export { runCopy } from "./copy.ts";
export type { CopyReport, CopyRow, CopySettings } from "./types.ts";
