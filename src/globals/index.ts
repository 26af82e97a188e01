// What belongs to a whole server: roles, memberships, tablespaces, settings of roles, privileges on parameters.

export { applyGlobals, type GlobalsFailure } from "./apply-globals.ts";
export type { Globals } from "./globals.ts";
export { CLUSTER_DUMP_END, globalsText } from "./globals-text.ts";
export { parseGlobals } from "./parse-globals.ts";
export { planGlobals } from "./plan-globals.ts";
export { readGlobals } from "./read-globals.ts";
