// Writes one object in one request, and confirms any object that was written. Each carries a random mark of its write:
// when an answer was lost and the same request, sent again, finds the name taken, the mark tells whose object it is.

import { randomBytes } from "node:crypto";
import { DeleteObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { KIB } from "../../base/units.ts";
import type { PutOptions, StoredObject } from "../storage.ts";
import { digestFields, digestOf, isDifferent, uploadAlgorithm } from "./checksums.ts";
import type { SentContent } from "./checksums.ts";
import { s3Error } from "./s3-errors.ts";
import type { S3Requests } from "./s3-requests.ts";

/** Tidying up after a failure must not take as long again as the failure did. */
export const TIDYING_ATTEMPTS_MAX = 3;
const WRITE_MARK = "cairn-write";
/** Below this, cheaper classes bill more than the usual one, so it is used. */
const STORAGE_CLASS_BYTES_MIN = 128 * KIB;

/** A write of one object. */
export interface ObjectWrite {
  readonly name: string;
  readonly mark: string;
  readonly ifAbsent: boolean;
  readonly signal: AbortSignal | undefined;
}

/** A new write of an object. */
export function newWrite(name: string, options: PutOptions): ObjectWrite {
  return { name, mark: randomBytes(12).toString("hex"), ifAbsent: options.ifAbsent ?? false, signal: options.signal };
}

/** Fields of requests that make an object: mark, encryption, storage class. */
export function objectFields(requests: S3Requests, write: ObjectWrite, sizeBytes: number): Record<string, unknown> {
  const { encryption, storageClass } = requests.location;
  return {
    Metadata: { [WRITE_MARK]: write.mark },
    ...(storageClass !== null && sizeBytes >= STORAGE_CLASS_BYTES_MIN && { StorageClass: storageClass }),
    ...(encryption !== null && { ServerSideEncryption: encryption.algorithm }),
    ...(encryption !== null && encryption.keyId !== null && { SSEKMSKeyId: encryption.keyId }),
  };
}

/** The condition of a request that must not replace an object. */
export function conditionOf(requests: S3Requests, write: ObjectWrite): { readonly IfNoneMatch?: "*" } {
  return write.ifAbsent && requests.location.isConditional ? { IfNoneMatch: "*" } : {};
}

/** Where the server knows no conditions: looks first; confirmObject() then looks again whose object it is. */
export async function refuseExisting(requests: S3Requests, write: ObjectWrite): Promise<void> {
  if (!write.ifAbsent || requests.location.isConditional) return;
  if ((await requests.head(write.name, write.signal)) !== null) throw isThere(write.name);
}

/** Puts bytes as one object. Throws "repository_exists". */
export async function putObject(requests: S3Requests, write: ObjectWrite, bytes: Uint8Array): Promise<SentContent> {
  const { name, signal } = write;
  const { location } = requests;
  const digest = digestOf(location.checksum, bytes);
  await refuseExisting(requests, write);
  const input = {
    ...requests.keyOf(name),
    ...objectFields(requests, write, bytes.length),
    ...conditionOf(requests, write),
    ...digestFields(location.checksum, digest),
    ChecksumAlgorithm: uploadAlgorithm(location.checksum),
    Body: bytes,
  };
  const facts = { action: `could not write "${name}"`, sizeBytes: bytes.length, isUpload: true, signal };
  const sending = requests.run(facts, async (client, attempt) => {
    try {
      await client.send(new PutObjectCommand(input), { abortSignal: attempt.signal });
    } catch (error) {
      const failure = s3Error(error, { action: facts.action, location });
      // An answer may have been lost on an earlier attempt: then it is our own object that is in the way.
      if (failure.code !== "repository_exists" || attempt.number === 1 || !(await isOurs(requests, write)))
        throw failure;
    }
  });
  try {
    await sending;
  } catch (error) {
    const isRefused = isOperatingError(error) && !error.retryable;
    if (!isRefused) await removeIfOurs(requests, write);
    throw error;
  }
  return { sizeBytes: bytes.length, digests: [digest], isInParts: false };
}

/** After a failure that leaves open whether the object was made: removes it where it was. Never throws. */
export async function removeIfOurs(requests: S3Requests, write: ObjectWrite): Promise<void> {
  const quiet = { ...write, signal: undefined };
  const removal = isOurs(requests, quiet).then(async (isIt) => {
    if (isIt) await deleteQuietly(requests, write.name);
  });
  await removal.catch(() => undefined);
}

/** True when the object under that name is the one of this write. */
export async function isOurs(requests: S3Requests, { mark, name, signal }: ObjectWrite): Promise<boolean> {
  const attemptsMax = TIDYING_ATTEMPTS_MAX;
  return (await requests.head(name, signal, attemptsMax))?.Metadata?.[WRITE_MARK] === mark;
}

/** Compares what the storage says of a written object with what was sent. Throws "corrupt", "repository_exists". */
export async function confirmObject(
  requests: S3Requests,
  write: ObjectWrite,
  sent: SentContent,
): Promise<StoredObject> {
  const { name } = write;
  const said = await requests.head(name, write.signal);
  if (said === null) throw new OperatingError("storage_failed", `"${name}" is not there after writing`);
  const mark = said.Metadata?.[WRITE_MARK];
  if (write.ifAbsent && mark !== undefined && mark !== write.mark) throw isThere(name);
  const sizeBytes = said.ContentLength ?? -1;
  const problem =
    sizeBytes !== sent.sizeBytes ? `has ${sizeBytes} bytes after writing, not ${sent.sizeBytes}`
    : isDifferent(requests.location.checksum, said, sent) ? "has another checksum after writing than what was sent"
    : null; // prettier-ignore
  if (problem === null) return { name, sizeBytes };
  // What is not what was written must not stand there; nothing refers to it yet.
  if (mark === write.mark) await deleteQuietly(requests, name);
  throw new OperatingError("corrupt", `"${name}" ${problem}`);
}

async function deleteQuietly(requests: S3Requests, name: string): Promise<void> {
  const key = requests.keyOf(name);
  const facts = { action: `could not delete "${name}"`, attemptsMax: TIDYING_ATTEMPTS_MAX };
  const deletion = requests.run(facts, async (client, { signal }) => {
    await client.send(new DeleteObjectCommand(key), { abortSignal: signal });
  });
  await deletion.catch(() => undefined);
}

function isThere(name: string): OperatingError {
  return new OperatingError("repository_exists", `"${name}" is there already`);
}
