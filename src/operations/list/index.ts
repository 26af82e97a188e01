// `cairn list`.

export { describeRestorePoint, runList } from "./list.ts";
export type { ListedRestorePoint, ListResult, ListSettings } from "./types.ts";
