// `cairn init`.

export { runInit } from "./init.ts";
export type { InitResult, InitSettings } from "./types.ts";
