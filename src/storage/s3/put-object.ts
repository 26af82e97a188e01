// Writes one object in one request, and confirms any object that was written. Each carries a random mark of its write:
// when the same request was sent again, by us after a lost answer or by a proxy on the way, and finds the name taken, the
// mark tells whose object it is.

import { randomBytes } from "node:crypto";
import { DeleteObjectCommand, GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { KIB } from "../../base/units.ts";
import type { PutOptions, StoredObject } from "../storage.ts";
import { digestFields, digestOf, isDifferent, uploadAlgorithm } from "./checksums.ts";
import type { SentContent } from "./checksums.ts";
import { readBody } from "./read-body.ts";
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
  /** True: fails where the mark is not kept. */
  readonly needsMark: boolean;
  readonly signal: AbortSignal | undefined;
}

/** A new write of an object. */
export function newWrite(name: string, options: PutOptions): ObjectWrite {
  const { ifAbsent = false, needsMark = false, signal } = options;
  return { name, mark: randomBytes(12).toString("hex"), ifAbsent, needsMark, signal };
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
      // It may be our own object that is in the way: of an attempt whose answer was lost, or that a proxy sent twice.
      if (failure.code !== "repository_exists" || !(await isOurs(requests, write, bytes))) throw failure;
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

/**
 * After a failure that leaves open whether the object was made: removes it where it was. One that may have replaced another
 * stays: removing it would leave nothing of either. Never throws.
 */
export async function removeIfOurs(requests: S3Requests, write: ObjectWrite): Promise<void> {
  if (!isSurelyNew(requests, write)) return;
  const quiet = { ...write, signal: undefined };
  const removal = isOurs(requests, quiet).then(async (isIt) => {
    if (isIt) await deleteQuietly(requests, write.name);
  });
  await removal.catch(() => undefined);
}

/** True when it cannot have replaced another object: without conditions, one may have come between the look and the write. */
function isSurelyNew({ location }: S3Requests, { ifAbsent }: ObjectWrite): boolean {
  return ifAbsent && location.isConditional;
}

/** True when the object under that name is the one of this write; where its mark is missing: when it has these bytes. */
export async function isOurs(requests: S3Requests, write: ObjectWrite, bytes?: Uint8Array): Promise<boolean> {
  const said = await requests.head(write.name, write.signal, TIDYING_ATTEMPTS_MAX);
  const mark = said?.Metadata?.[WRITE_MARK];
  if (said === null || mark !== undefined || bytes === undefined) return mark === write.mark;
  return said.ContentLength === bytes.length && (await hasBytes(requests, write, bytes));
}

async function hasBytes(requests: S3Requests, { name, signal }: ObjectWrite, bytes: Uint8Array): Promise<boolean> {
  const key = requests.keyOf(name);
  const action = `could not read "${name}"`;
  const facts = { action, sizeBytes: bytes.length, attemptsMax: TIDYING_ATTEMPTS_MAX, signal };
  const found = await requests.run(facts, async (client, attempt) => {
    const output = await client.send(new GetObjectCommand(key), { abortSignal: attempt.signal });
    return await readBody(output, { action, range: undefined, lengthBytesMax: bytes.length }, attempt);
  });
  return Buffer.compare(found, bytes) === 0;
}

/** Compares what the storage says of a written object with what was sent. Throws "corrupt", "repository_exists", "storage_failed". */
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
  // Without conditions nothing but the mark tells whose object it is.
  const needsMark = write.needsMark || (write.ifAbsent && !requests.location.isConditional);
  if (needsMark && mark === undefined) throw markIsMissing(name);
  const sizeBytes = said.ContentLength ?? -1;
  const problem =
    sizeBytes !== sent.sizeBytes ? `has ${sizeBytes} bytes after writing, not ${sent.sizeBytes}`
    : isDifferent(requests.location.checksum, said, sent) ? "has another checksum after writing than what was sent"
    : null; // prettier-ignore
  if (problem === null) return { name, sizeBytes };
  // What is not what was written must not stand there; nothing refers to it yet, unless it replaced what something refers to.
  if (isSurelyNew(requests, write) && mark === write.mark) await deleteQuietly(requests, name);
  throw new OperatingError("corrupt", `"${name}" ${problem}`);
}

/** Puts bytes as one object, and confirms it. What cannot be confirmed does not stay, unless it replaced what was there. */
export async function putConfirmed(requests: S3Requests, write: ObjectWrite, bytes: Uint8Array): Promise<StoredObject> {
  const sent = await putObject(requests, write, bytes);
  try {
    return await confirmObject(requests, write, sent);
  } catch (error) {
    await removeIfOurs(requests, write);
    throw error;
  }
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

function markIsMissing(name: string): OperatingError {
  return new OperatingError("storage_failed", `"${name}" has lost the mark that tells whose object it is`, {
    detail: `The storage, or a proxy in front of it, does not keep or does not give back metadata (x-amz-meta-${WRITE_MARK}).`,
    hint: "Let headers that begin with x-amz-meta- pass in both directions, or use another storage.",
  });
}
