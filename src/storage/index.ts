// Storages: where a repository's objects lie.

export type {
  ByteRange,
  Leftover,
  ObjectWriter,
  PutOptions,
  Storage,
  StoredObject,
  WrittenContent,
} from "./storage.ts";
export { openLocalStorage } from "./local/local-storage.ts";
export { checkObjectName, isObjectName } from "./names.ts";
export { processState, thisProcess } from "./process-identity.ts";
export type { ProcessIdentity } from "./process-identity.ts";
