// Streams an object of unknown length into parts. Nothing is visible under its name before the last request; what fits
// into one part is put in one request. Memory: the part being filled, and IN_FLIGHT_BYTES_MAX on their way (part-plan.ts).
// Whatever fails, the upload is aborted and looked for again: parts that arrive late would be kept, and billed, for ever.

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  ListPartsCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { OngoingWrite } from "../ongoing-write.ts";
import type { ObjectWriter, StoredObject, WrittenContent } from "../storage.ts";
import { digestFields, digestOf, uploadAlgorithm } from "./checksums.ts";
import type { Digest } from "./checksums.ts";
import { IN_FLIGHT_BYTES_MAX, partSizeBytes } from "./part-plan.ts";
import {
  conditionOf,
  confirmObject,
  isOurs,
  objectFields,
  putObject,
  refuseExisting,
  removeIfOurs,
  TIDYING_ATTEMPTS_MAX,
} from "./put-object.ts";
import type { ObjectWrite } from "./put-object.ts";
import { s3Error } from "./s3-errors.ts";
import type { S3Requests } from "./s3-requests.ts";
import { noteDigest } from "./signed-digest.ts";
import { UploadBeginning } from "./upload-beginning.ts";

/** An upload older than LEFTOVER_DEAD_AFTER_MS counts as left over by a dead writer; none of ours lives nearly so long. */
const UPLOAD_AGE_MS_MAX = 3 * 24 * 3600 * 1000;
const ABORTS_MAX = 3;
/** The storage puts the parts together meanwhile; S3 may take minutes for that. */
const COMPLETION_MS_MAX = 5 * 60_000;

interface Part {
  readonly PartNumber: number;
  readonly ETag: string | undefined;
  readonly fields: Record<string, string>;
}

/** See the head of this file. */
export class S3Writer implements ObjectWriter {
  readonly #requests: S3Requests;
  readonly #write: ObjectWrite;
  readonly #ongoing: OngoingWrite;
  readonly #parts: Part[] = [];
  readonly #digests: Digest[] = [];
  readonly #inFlight = new Set<Promise<void>>();
  readonly #openedAtMs = performance.now();
  readonly #uploads: UploadBeginning;
  #gathered: Uint8Array[] = [];
  #gatheredBytes = 0;
  #inFlightBytes = 0;
  #partCount = 0;
  #sizeBytes = 0;
  #uploadId: string | null = null;
  /** From the first part on; it goes on while further bytes are taken. */
  #beginning: Promise<void> | null = null;
  /** True once the last request was sent: the object may be there whatever was answered. */
  #isCompleting = false;
  #isComplete = false;

  constructor(requests: S3Requests, write: ObjectWrite) {
    this.#requests = requests;
    this.#write = write;
    this.#uploads = new UploadBeginning(requests);
    this.#ongoing = new OngoingWrite(write);
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#ongoing.takeTurn(async () => await this.#append(bytes));
  }

  async finish(expected?: WrittenContent): Promise<StoredObject> {
    const last = async (): Promise<StoredObject> => {
      if (expected !== undefined && expected.sizeBytes !== this.#sizeBytes) {
        throw new OperatingError(
          "corrupt",
          `${this.#ongoing.action}: it got ${this.#sizeBytes} bytes, not ${expected.sizeBytes}`,
        );
      }
      const isInParts = this.#beginning !== null;
      const digests = isInParts ? await this.#finishParts() : await this.#putWhole(expected);
      const sent = { sizeBytes: this.#sizeBytes, digests, isInParts };
      const object = await confirmObject(this.#requests, this.#write, sent);
      this.#ongoing.end();
      await this.#abortUploads();
      return object;
    };
    return await this.#ongoing.finish(last, async () => await this.abort());
  }

  async abort(): Promise<void> {
    if (!this.#ongoing.isOpen) return;
    await this.#ongoing.cancel();
    await Promise.allSettled(this.#inFlight);
    this.#gathered = [];
    await this.#abortUploads();
    if (this.#isCompleting) await removeIfOurs(this.#requests, this.#write);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  /** Cuts bytes into parts; a full one goes on its way when there is room for it. */
  async #append(bytes: Uint8Array): Promise<void> {
    this.#sizeBytes += bytes.length;
    let rest = bytes;
    while (rest.length > 0) {
      const sizeBytes = partSizeBytes(this.#partCount + 1);
      if (sizeBytes === null)
        throw new OperatingError("value_too_large", `${this.#ongoing.action}: it has too many bytes for S3`);
      const piece = rest.subarray(0, sizeBytes - this.#gatheredBytes);
      rest = rest.subarray(piece.length);
      this.#gathered.push(piece);
      this.#gatheredBytes += piece.length;
      if (this.#gatheredBytes === sizeBytes) await this.#dispatch();
    }
  }

  async #dispatch(): Promise<void> {
    const sizeBytes = this.#gatheredBytes;
    this.#beginning ??= this.#begin(sizeBytes);
    while (this.#inFlight.size > 0 && this.#inFlightBytes + sizeBytes > IN_FLIGHT_BYTES_MAX) {
      await Promise.race(this.#inFlight);
      this.#ongoing.check();
    }
    const body = this.#takeGathered();
    this.#partCount += 1;
    this.#inFlightBytes += sizeBytes;
    const sending = this.#sendPart(this.#partCount, body)
      .catch((error: unknown) => this.#ongoing.fail(error))
      .finally(() => {
        this.#inFlight.delete(sending);
        this.#inFlightBytes -= sizeBytes;
      });
    this.#inFlight.add(sending);
  }

  /** One buffer of its own, so that a part can be sent again and its memory freed at once. */
  #takeGathered(): Uint8Array<ArrayBuffer> {
    const body = this.#requests.partBuffers.take(this.#gatheredBytes);
    let offset = 0;
    for (const piece of this.#gathered) {
      body.set(piece, offset);
      offset += piece.length;
    }
    this.#gathered = [];
    this.#gatheredBytes = 0;
    return body;
  }

  async #begin(firstPartBytes: number): Promise<void> {
    await refuseExisting(this.#requests, this.#write);
    const input = {
      ...this.#requests.keyOf(this.#write.name),
      ...objectFields(this.#requests, this.#write, firstPartBytes),
      ChecksumAlgorithm: uploadAlgorithm(this.#requests.location.checksum),
    };
    const facts = { action: this.#ongoing.action, signal: this.#ongoing.signal };
    this.#uploadId = await this.#uploads.begin(facts, input);
  }

  async #sendPart(number: number, part: Uint8Array<ArrayBuffer>): Promise<void> {
    const { location, partBuffers, partHasher } = this.#requests;
    const { checksum } = location;
    const [{ bytes: body, digest, sha256 }] = await Promise.all([partHasher.hash(checksum, part), this.#beginning]);
    noteDigest(body, sha256);
    this.#digests[number - 1] = digest;
    const fields = digestFields(checksum, digest);
    const ChecksumAlgorithm = uploadAlgorithm(checksum);
    const input = { ...this.#uploadKey(), PartNumber: number, Body: body, ChecksumAlgorithm, ...fields };
    const facts = {
      action: this.#ongoing.action,
      sizeBytes: body.length,
      isUpload: true,
      signal: this.#ongoing.signal,
    };
    let attempts = 0;
    const sending = this.#requests.run(facts, async (client, attempt) => {
      attempts = attempt.number;
      return await client.send(new UploadPartCommand(input), { abortSignal: attempt.signal });
    });
    const { ETag } = await sending.catch((error: unknown) => {
      throw isOperatingError(error, "not_found") ? uploadVanished(error, this.#ongoing.action) : error;
    });
    this.#parts[number - 1] = { PartNumber: number, ETag, fields: checksum === "md5" ? {} : fields };
    // An earlier attempt that was given up could still hold it.
    if (attempts === 1) partBuffers.give(body);
  }

  async #putWhole(expected: WrittenContent | undefined): Promise<Digest[]> {
    const write = { ...this.#write, signal: this.#ongoing.signal };
    const body = this.#takeGathered();
    if (expected !== undefined && Buffer.compare(digestOf("sha256", body), expected.sha256) !== 0) {
      throw new OperatingError("corrupt", `${this.#ongoing.action}: it got other bytes than were expected`);
    }
    const { digests } = await putObject(this.#requests, write, body);
    // From here on a failure must not leave it there, as for an upload in parts.
    this.#isCompleting = true;
    return [...digests];
  }

  async #finishParts(): Promise<Digest[]> {
    if (this.#gatheredBytes > 0) await this.#dispatch();
    await Promise.all(this.#inFlight);
    this.#ongoing.check();
    if (performance.now() - this.#openedAtMs > UPLOAD_AGE_MS_MAX) {
      throw new OperatingError("stalled", `${this.#ongoing.action}: the upload took more than three days`);
    }
    await this.#complete();
    return this.#digests;
  }

  async #complete(): Promise<void> {
    const input = {
      ...this.#uploadKey(),
      ...conditionOf(this.#requests, this.#write),
      MultipartUpload: { Parts: this.#parts.map(({ ETag, PartNumber, fields }) => ({ PartNumber, ETag, ...fields })) },
    };
    const facts = { action: this.#ongoing.action, silenceMs: COMPLETION_MS_MAX, signal: this.#ongoing.signal };
    this.#isCompleting = true;
    await this.#requests.run(facts, async (client, attempt) => {
      try {
        await client.send(new CompleteMultipartUploadCommand(input), { abortSignal: attempt.signal });
      } catch (error) {
        const failure = s3Error(error, { action: this.#ongoing.action, location: this.#requests.location });
        const isDoubtful = failure.code === "repository_exists" || failure.code === "not_found";
        // An answer may have been lost, or a proxy sent it twice: then the upload is gone because it is complete.
        if (isDoubtful && (await isOurs(this.#requests, this.#write))) return;
        // The object may show only a while after the upload is gone: the next attempt looks again.
        throw failure.code === "not_found" ? uploadVanished(failure, this.#ongoing.action, true) : failure;
      }
    });
    this.#isComplete = true;
  }

  /** All that were begun, but for the one that is the object. One that cannot be aborted now is named as a left-over. */
  async #abortUploads(): Promise<void> {
    for (const UploadId of await this.#uploads.ids()) {
      if (UploadId === this.#uploadId && this.#isComplete) continue;
      await this.#abortUpload(UploadId).catch(() => undefined);
    }
  }

  /** Aborts until the storage no longer knows the upload. */
  async #abortUpload(UploadId: string): Promise<void> {
    const key = { ...this.#requests.keyOf(this.#write.name), UploadId };
    const action = `could not abort the upload of "${this.#write.name}"`;
    const facts = { action, attemptsMax: TIDYING_ATTEMPTS_MAX };
    for (let attempts = 1; attempts <= ABORTS_MAX; attempts += 1) {
      try {
        await this.#requests.run(facts, async (client, { signal }) => {
          await client.send(new AbortMultipartUploadCommand(key), { abortSignal: signal });
          await client.send(new ListPartsCommand({ ...key, MaxParts: 1 }), { abortSignal: signal });
        });
      } catch (error) {
        if (isOperatingError(error, "not_found")) return;
        throw error;
      }
    }
  }

  #uploadKey(): { readonly Bucket: string; readonly Key: string; readonly UploadId: string } {
    return { ...this.#requests.keyOf(this.#write.name), UploadId: this.#uploadId ?? "" };
  }
}

/** The storage forgot the upload: a lifecycle rule, or somebody aborted it. */
function uploadVanished(failure: OperatingError, action: string, retryable = false): OperatingError {
  return new OperatingError("storage_failed", `${action}: the storage no longer knows the upload`, {
    hint: "A lifecycle rule of the bucket may abort uploads too soon, or somebody removed it. Run the command again.",
    retryable,
    cause: failure,
  });
}
