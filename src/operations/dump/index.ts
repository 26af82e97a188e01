// `cairn dump`.

export { runDump } from "./dump.ts";
export type { DumpReceipt, DumpSettings } from "./types.ts";
