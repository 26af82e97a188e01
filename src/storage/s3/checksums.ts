// Checksums of what is sent: the headers that let the server check each request, and what it should say of the whole.
// Of an object in parts it keeps a checksum of the parts' checksums, with their number.
// Source: Amazon S3 User Guide, "Checking object integrity".

import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { ChecksumMode } from "./s3-location.ts";

/** The digest of one request's body. */
export type Digest = Buffer;

/** The digest of bytes in a mode. */
export function digestOf(mode: ChecksumMode, bytes: Uint8Array): Digest {
  if (mode !== "crc32") return createHash(mode).update(bytes).digest();
  const digest = Buffer.alloc(4);
  digest.writeUInt32BE(crc32(bytes));
  return digest;
}

/** The input fields of a request that carry its body's digest. */
export function digestFields(mode: ChecksumMode, digest: Digest): Record<string, string> {
  const text = digest.toString("base64");
  if (mode === "sha256") return { ChecksumSHA256: text };
  return mode === "crc32" ? { ChecksumCRC32: text } : { ContentMD5: text };
}

/** The name of the mode, which buckets with object lock want to be told; undefined for the one that has none. */
export function uploadAlgorithm(mode: ChecksumMode): "SHA256" | "CRC32" | undefined {
  return mode === "sha256" ? "SHA256" : mode === "crc32" ? "CRC32" : undefined;
}

/** What a server says of an object, as far as it does. */
export interface SaidChecksums {
  readonly ChecksumSHA256?: string | undefined;
  readonly ChecksumCRC32?: string | undefined;
  readonly ETag?: string | undefined;
  readonly ServerSideEncryption?: string | undefined;
}

/** What was sent as an object, in one request or in parts. */
export interface SentContent {
  readonly sizeBytes: number;
  readonly digests: readonly Digest[];
  readonly isInParts: boolean;
}

/** True when the server keeps another checksum than that of what was sent; false also when it keeps none. */
export function isDifferent(mode: ChecksumMode, said: SaidChecksums, { digests, isInParts }: SentContent): boolean {
  const whole = isInParts ? digestOf(mode, Buffer.concat(digests)) : digests[0]!;
  if (mode === "md5") {
    const tag = said.ETag?.replaceAll('"', "");
    // With a key of its own the server's tag is no MD5.
    if (tag === undefined || !/^[0-9a-f]{32}(-\d+)?$/.test(tag) || said.ServerSideEncryption?.startsWith("aws:"))
      return false;
    return tag !== whole.toString("hex") + (isInParts ? `-${digests.length}` : "");
  }
  const text = mode === "sha256" ? said.ChecksumSHA256 : said.ChecksumCRC32;
  if (text === undefined) return false;
  const [checksum, count] = text.split("-");
  // Without a number it is of the whole object, which only an object in one part can be compared with.
  if (isInParts && count === undefined) return false;
  return checksum !== whole.toString("base64") || (isInParts && Number(count) !== digests.length);
}
