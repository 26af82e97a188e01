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
export { ForwardingStorage } from "./forwarding-storage.ts";
export { openLocalStorage } from "./local/local-storage.ts";
export { refuseUnconditionalStorage } from "./conditional-create.ts";
export { openStorage } from "./open-storage.ts";
export type { StorageSurroundings } from "./drivers.ts";
export type { Retry } from "./retrier.ts";
export { checkObjectName, isObjectName } from "./names.ts";
export { processState, thisProcess } from "./process-identity.ts";
export type { ProcessIdentity } from "./process-identity.ts";
