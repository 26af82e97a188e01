// Ids of chunks: a hash of the kind and the plaintext, keyed in an encrypted repository. Pure, so that worker threads
// can compute them. Source: docs/formats/repository.md §5.

import { createHash, createHmac } from "node:crypto";
import type { Hash, Hmac } from "node:crypto";

/** What a chunk holds. */
export type ChunkKind = "table" | "large-objects";

export const CHUNK_ID_BYTES = 32;

/** What is hashed before the plaintext. */
export function chunkIdPrefix(kind: ChunkKind): Uint8Array {
  return Buffer.from(`cairn chunk v1\0${kind}\0`, "latin1");
}

/** Hashes a chunk piece by piece: update() with its plaintext in order, digest() gives the id. */
export function createChunkIdHash(secret: Uint8Array | null, kind: ChunkKind): Hash | Hmac {
  const hash = secret === null ? createHash("sha256") : createHmac("sha256", secret);
  return hash.update(chunkIdPrefix(kind));
}

/** The id of a chunk, 32 bytes. `secret` is the repository's chunkIdSecret, null without encryption. */
export function chunkId(secret: Uint8Array | null, kind: ChunkKind, plaintext: Uint8Array): Uint8Array {
  return createChunkIdHash(secret, kind).update(plaintext).digest();
}
