// `cairn expire`.

export { runExpire } from "./expire.ts";
export type { ExpireReport, ExpireSettings } from "./types.ts";
