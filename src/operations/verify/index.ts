// `cairn verify`.

export { runVerify } from "./verify.ts";
export type { VerifyReport, VerifySettings } from "./types.ts";
