// Whether two repositories were made alike: then what one has sealed the other reads, and equal contents have equal ids.

import type { Keyring } from "../keys.ts";

function areEqual(one: Uint8Array | null, other: Uint8Array | null): boolean {
  if (one === null || other === null) return one === other;
  return Buffer.compare(one, other) === 0;
}

/** True when equal contents have equal chunk ids in both. */
export function haveEqualIds(one: Keyring, other: Keyring): boolean {
  return areEqual(one.chunkIdSecret, other.chunkIdSecret);
}

/** True when packs may move from one to the other as they are (those of a data key that both have). */
export function areAlike(one: Keyring, other: Keyring): boolean {
  return areEqual(one.repositoryId, other.repositoryId) && haveEqualIds(one, other);
}
