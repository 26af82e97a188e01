// `cairn restore`.

export { runRestore } from "./restore.ts";
export type { RestoreReport, RestoreSettings } from "./types.ts";
