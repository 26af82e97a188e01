// `cairn show`.

export { runShow } from "./show.ts";
export type { ShowResult, ShowSettings } from "./types.ts";
