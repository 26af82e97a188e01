// `cairn storage test`.

export { runStorageTest } from "./storage-test.ts";
export type { StorageCheck, StorageTestReport, StorageTestSettings } from "./types.ts";
