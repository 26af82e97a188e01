// Writes one object in one request, and confirms any object that was written. Each carries a random mark of its write: when
// the answer was lost, or a proxy sent a request twice, and the name is taken, the mark tells whose object it is.

import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { KIB } from "../../base/units.ts";
import type { PutOptions, StoredObject, WrittenContent } from "../storage.ts";
import { azureError } from "./azure-errors.ts";
import type { AzureRequests, BlobFacts } from "./azure-requests.ts";
import { deleteDiscarded, deleteVersion, TIDYING_ATTEMPTS_MAX } from "./staged-blocks.ts";

const WRITE_MARK = "cairnwrite";
const SHA256_MARK = "cairnsha256";
/** What is sent before the next look whether bytes still move. */
const PIECE_BYTES = 64 * KIB;
/** Cheaper tiers bill each request more: small objects stay in the usual one. */
const ACCESS_TIER_BYTES_MIN = 128 * KIB;

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
  /** Null where it went in blocks, each of them with its own. */
  readonly md5: Uint8Array | null;
}

/** A new write of an object. */
export function newWrite(name: string, options: PutOptions): ObjectWrite {
  const { ifAbsent = false, needsMark = false, signal } = options;
  return { name, mark: randomBytes(12).toString("hex"), ifAbsent, needsMark, signal };
}

export function md5Of(bytes: Uint8Array): Buffer {
  return createHash("md5").update(bytes).digest();
}

/** Options of requests that make an object: its mark, the sum that its writer knows, its tier, the condition. */
export function objectOptions(
  { location }: AzureRequests,
  write: ObjectWrite,
  content: Partial<WrittenContent> & { readonly sizeBytes: number },
): { metadata: Record<string, string>; tier?: string; conditions: { ifNoneMatch?: string } } {
  const { sha256, sizeBytes } = content;
  const metadata: Record<string, string> = { [WRITE_MARK]: write.mark };
  if (sha256 !== undefined) metadata[SHA256_MARK] = Buffer.from(sha256).toString("hex");
  return {
    metadata,
    ...(location.accessTier !== null && sizeBytes >= ACCESS_TIER_BYTES_MIN && { tier: location.accessTier }),
    conditions: write.ifAbsent ? { ifNoneMatch: "*" } : {},
  };
}

/** Bytes as a request's body, in pieces: so that it can be seen whether they move. */
export function bodyOf(bytes: Uint8Array): () => Readable {
  return () => Readable.from(piecesOf(bytes), { objectMode: false });
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES) yield bytes.subarray(offset, offset + PIECE_BYTES);
}

/** Puts bytes as one object. Throws "repository_exists". */
export async function putObject(
  requests: AzureRequests,
  write: ObjectWrite,
  bytes: Uint8Array,
  sha256?: Uint8Array,
): Promise<SentContent> {
  const { name, signal } = write;
  const md5 = md5Of(bytes);
  const content = { sizeBytes: bytes.length, ...(sha256 && { sha256 }) };
  const options = { ...objectOptions(requests, write, content), transactionalContentMD5: md5 };
  const facts = { action: `could not write "${name}"`, sizeBytes: bytes.length, signal };
  const blob = requests.blobOf(name);
  const sending = requests.run(facts, async (attempt) => {
    await writeOnce(requests, write, facts.action, async () => {
      const sent = { ...options, abortSignal: attempt.signal, onProgress: () => attempt.alive() };
      await blob.upload(bytes.length === 0 ? "" : bodyOf(bytes), bytes.length, sent);
    });
  });
  try {
    await sending;
  } catch (error) {
    const isRefused = isOperatingError(error) && !error.retryable;
    if (!isRefused) await removeIfOurs(requests, write);
    throw error;
  }
  return { sizeBytes: bytes.length, md5 };
}

/** Does a request that makes an object; where the name is taken, by our own object or by what is none, deals with it. */
export async function writeOnce(
  requests: AzureRequests,
  write: ObjectWrite,
  action: string,
  send: () => Promise<void>,
): Promise<void> {
  try {
    await send();
  } catch (error) {
    const failure = azureError(error, { action, location: requests.location, expiresAtMs: null });
    if (failure.code !== "repository_exists") throw error;
    // Of an attempt whose answer was lost, or that a proxy sent twice.
    if (await isOurs(requests, write)) return;
    if (!(await deleteDiscarded(requests, write.name, write.signal))) throw failure;
    throw new OperatingError("storage_failed", `${action}: another upload of that name was just given up`, {
      retryable: true,
    });
  }
}

/**
 * After a failure that leaves open whether the object was made: removes it where it was. One that may have replaced another
 * stays: removing it would leave nothing of either. Never throws.
 */
export async function removeIfOurs(requests: AzureRequests, { ifAbsent, mark, name }: ObjectWrite): Promise<void> {
  if (!ifAbsent) return;
  const removal = requests.look(name, undefined, TIDYING_ATTEMPTS_MAX).then(async (found) => {
    if (found?.metadata[WRITE_MARK] === mark) await deleteVersion(requests, name, found.etag);
  });
  await removal.catch(() => undefined);
}

/** True when the object under that name is the one of this write. */
export async function isOurs(requests: AzureRequests, { mark, name, signal }: ObjectWrite): Promise<boolean> {
  const found = await requests.look(name, signal, TIDYING_ATTEMPTS_MAX);
  return found?.metadata[WRITE_MARK] === mark;
}

/** Compares what the storage says of a written object with what was sent. Throws "corrupt", "repository_exists", "storage_failed". */
export async function confirmObject(
  requests: AzureRequests,
  write: ObjectWrite,
  sent: SentContent,
): Promise<StoredObject> {
  const { name } = write;
  const found = await requests.look(name, write.signal);
  if (found === null) throw new OperatingError("storage_failed", `"${name}" is not there after writing`);
  const mark = found.metadata[WRITE_MARK];
  if (write.ifAbsent && mark !== undefined && mark !== write.mark) {
    throw new OperatingError("repository_exists", `"${name}" is there already`);
  }
  if (write.needsMark && mark === undefined) throw markIsMissing(name);
  const problem = problemOf(found, sent);
  if (problem === null) return { name, sizeBytes: found.sizeBytes };
  // What is not what was written must not stand there; nothing refers to it yet, unless it replaced what something refers to.
  if (write.ifAbsent && mark === write.mark) await deleteVersion(requests, name, found.etag).catch(() => undefined);
  throw new OperatingError("corrupt", `"${name}" ${problem}`);
}

/** Puts bytes as one object, and confirms it. What cannot be confirmed does not stay, unless it replaced what was there. */
export async function putConfirmed(
  requests: AzureRequests,
  write: ObjectWrite,
  bytes: Uint8Array,
): Promise<StoredObject> {
  const sent = await putObject(requests, write, bytes);
  try {
    return await confirmObject(requests, write, sent);
  } catch (error) {
    await removeIfOurs(requests, write);
    throw error;
  }
}

function problemOf({ contentMd5, sizeBytes }: BlobFacts, sent: SentContent): string | null {
  if (sizeBytes !== sent.sizeBytes) return `has ${sizeBytes} bytes after writing, not ${sent.sizeBytes}`;
  // Azure makes it itself of what comes in one request.
  const isSame = contentMd5 === null || sent.md5 === null || Buffer.compare(contentMd5, sent.md5) === 0;
  return isSame ? null : "has another checksum after writing than what was sent";
}

function markIsMissing(name: string): OperatingError {
  return new OperatingError("storage_failed", `"${name}" has lost the mark that tells whose object it is`, {
    detail: `The storage, or a proxy in front of it, does not keep or does not give back metadata (x-ms-meta-${WRITE_MARK}).`,
    hint: "Let headers that begin with x-ms-meta- pass in both directions.",
  });
}
