// `cairn key`.

export { runKey } from "./key.ts";
export type { KeyChange, KeyReport, KeySettings } from "./types.ts";
