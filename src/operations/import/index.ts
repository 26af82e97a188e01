// `cairn import`.

export { runImport } from "./import.ts";
export type { ImportReceipt, ImportSettings } from "./types.ts";
