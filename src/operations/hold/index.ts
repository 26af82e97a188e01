// `cairn hold` and `cairn release`.

export { runHold, runRelease } from "./hold.ts";
export type { HoldReport, HoldSettings, ReleaseReport, ReleaseSettings } from "./types.ts";
