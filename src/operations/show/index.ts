// `cairn show`.

export { runShow } from "./show.ts";
export { runShowFile } from "./show-file.ts";
export type { ShowFileSettings, ShowResult, ShowSettings } from "./types.ts";
