// Writes one object in one request, and confirms any object that was written. Each carries a random mark of its write:
// when the same request was sent again after a lost answer, and finds the name taken, the mark tells whose object it is;
// and it is deleted only by the generation that had the mark.

import { createHash, randomBytes } from "node:crypto";
import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { KIB } from "../../base/units.ts";
import type { PutOptions, StoredObject } from "../storage.ts";
import { gcsError } from "./gcs-errors.ts";
import { readJson, saidObject, storageFailed } from "./gcs-requests.ts";
import type { GcsRequests, SaidObject } from "./gcs-requests.ts";

/** Tidying up after a failure must not take as long again as the failure did. */
export const TIDYING_ATTEMPTS_MAX = 3;
const WRITE_MARK = "cairn-write";
const CONTENT_TYPE = "application/octet-stream";
/** Below this the usual class is used: the others bill each small object for months. */
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

/** What was sent as an object. */
export interface SentContent {
  readonly sizeBytes: number;
  /** Base64. */
  readonly md5: string;
}

/** A new write of an object. */
export function newWrite(name: string, options: PutOptions): ObjectWrite {
  const { ifAbsent = false, needsMark = false, signal } = options;
  return { name, mark: randomBytes(12).toString("hex"), ifAbsent, needsMark, signal };
}

/** What is said of an object when it is sent: name, mark, storage class. */
export function objectFields(requests: GcsRequests, write: ObjectWrite, sizeBytes: number): Record<string, unknown> {
  const { storageClass } = requests.location;
  return {
    name: requests.keyOf(write.name),
    contentType: CONTENT_TYPE,
    metadata: { [WRITE_MARK]: write.mark },
    ...(storageClass !== null && sizeBytes >= STORAGE_CLASS_BYTES_MIN && { storageClass }),
  };
}

/** How it is sent: the condition, the key. */
export function uploadQuery(requests: GcsRequests, write: ObjectWrite, uploadType: string): Record<string, string> {
  const { kmsKey } = requests.location;
  return {
    uploadType,
    ...(write.ifAbsent && { ifGenerationMatch: "0" }),
    ...(kmsKey !== null && { kmsKeyName: kmsKey }),
  };
}

/** Puts bytes as one object, and gives what the storage says of it. Throws "repository_exists". */
export async function putObject(requests: GcsRequests, write: ObjectWrite, bytes: Uint8Array): Promise<StoredObject> {
  const { name, signal } = write;
  const md5 = createHash("md5").update(bytes).digest("base64");
  const action = `could not write "${name}"`;
  const request = multipartRequest(requests, write, { bytes, md5 });
  const facts = { action, sizeBytes: bytes.length, isUpload: true, signal };
  const sending = requests.run(facts, async (attempt) => {
    try {
      return saidObject(await readJson(await requests.send(request, attempt, [200, 201])));
    } catch (error) {
      const failure = gcsError(error, { action, location: requests.location });
      // It may be our own object that is in the way: of an attempt whose answer was lost, or that a proxy sent twice.
      const ours = failure.code === "repository_exists" ? await findOurs(requests, write) : null;
      if (ours !== null) return ours;
      throw failure;
    }
  });
  try {
    return await confirmObject(requests, write, { sent: { sizeBytes: bytes.length, md5 }, said: await sending });
  } catch (error) {
    const isRefused = isOperatingError(error) && !error.retryable;
    if (!isRefused) await removeOurs(requests, write);
    throw error;
  }
}

function multipartRequest(
  requests: GcsRequests,
  write: ObjectWrite,
  { bytes, md5 }: { readonly bytes: Uint8Array; readonly md5: string },
): { method: string; url: URL; headers: Record<string, string>; body: Uint8Array[] } {
  const boundary = randomBytes(24).toString("hex");
  const fields = JSON.stringify({ ...objectFields(requests, write, bytes.length), md5Hash: md5 });
  const head =
    `--${boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n${fields}\r\n` +
    `--${boundary}\r\nContent-Type: ${CONTENT_TYPE}\r\n\r\n`;
  return {
    method: "POST",
    url: requests.uploadUrl(uploadQuery(requests, write, "multipart")),
    headers: { "content-type": `multipart/related; boundary=${boundary}` },
    body: [Buffer.from(head), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)],
  };
}

/** The object under the write's name if it is the one of this write, else null. */
export async function findOurs(requests: GcsRequests, write: ObjectWrite): Promise<SaidObject | null> {
  const said = await requests.head(write.name, write.signal, TIDYING_ATTEMPTS_MAX);
  return said !== null && said.metadata[WRITE_MARK] === write.mark ? said : null;
}

/**
 * After a failure that leaves open whether the object was made: removes it where it was. One that may have replaced another
 * stays: removing it would leave nothing of either. Never throws.
 */
export async function removeOurs(requests: GcsRequests, write: ObjectWrite): Promise<void> {
  if (!write.ifAbsent) return;
  const removal = findOurs(requests, { ...write, signal: undefined }).then(async (ours) => {
    if (ours !== null) await deleteObject(requests, write.name, { generation: ours.generation });
  });
  await removal.catch(() => undefined);
}

/** What is deleted: one generation of an object, or whatever has the name. */
interface Deletion {
  readonly generation?: string;
  readonly signal?: AbortSignal | undefined;
}

/** Deletes an object; one that is not there is no error. */
export async function deleteObject(requests: GcsRequests, name: string, deletion: Deletion): Promise<void> {
  const { generation, signal } = deletion;
  const url = requests.objectUrl(name, { ...(generation !== undefined && { ifGenerationMatch: generation }) });
  const action = `could not delete "${name}"`;
  const attemptsMax = generation === undefined ? {} : { attemptsMax: TIDYING_ATTEMPTS_MAX };
  try {
    await requests.run({ action, signal, ...attemptsMax }, async (attempt) => {
      const { body } = await requests.send({ method: "DELETE", url }, attempt, [200, 204]);
      body.resume();
    });
  } catch (error) {
    if (!isOperatingError(error, "not_found")) throw error;
  }
}

/** What is compared after a write. */
interface WrittenObject {
  readonly sent: SentContent;
  readonly said: SaidObject;
}

/** Compares what the storage says of a written object with what was sent. Throws "corrupt", "storage_failed". */
export async function confirmObject(
  requests: GcsRequests,
  write: ObjectWrite,
  written: WrittenObject,
): Promise<StoredObject> {
  const { name } = write;
  const kept = write.needsMark ? await requests.head(name, write.signal) : written.said;
  const isMarked = kept?.metadata[WRITE_MARK] === write.mark;
  const problem = isMarked ? problemOf(name, written) : markIsMissing(name);
  if (problem === null) return { name, sizeBytes: written.sent.sizeBytes };
  // What is not what was written must not stand there; nothing refers to it yet, unless it replaced what something refers to.
  await removeOurs(requests, write);
  throw problem;
}

function problemOf(name: string, { said, sent }: WrittenObject): OperatingError | null {
  const { md5, sizeBytes } = said;
  if (sizeBytes === null) return storageFailed(`could not write "${name}": the storage does not say its size`);
  if (md5 === "") return storageFailed(`could not write "${name}": the storage does not say its checksum`);
  if (sizeBytes !== sent.sizeBytes) {
    return new OperatingError("corrupt", `"${name}" has ${sizeBytes} bytes after writing, not ${sent.sizeBytes}`);
  }
  if (md5 === sent.md5) return null;
  return new OperatingError("corrupt", `"${name}" has another checksum after writing than what was sent`);
}

function markIsMissing(name: string): OperatingError {
  const hint = "The storage does not keep metadata. Use another one.";
  return storageFailed(`"${name}" has lost the mark that tells whose object it is`, hint);
}
