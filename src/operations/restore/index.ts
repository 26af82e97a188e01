// `cairn restore`.

export { originInRepository } from "./open-origin.ts";
export { restoreOpened, runRestore } from "./restore.ts";
export type { RestoreReport, RestoreSettings } from "./types.ts";
