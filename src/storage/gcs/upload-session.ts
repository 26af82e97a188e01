// A resumable upload: an object of unknown length, sent piece after piece to an address that the storage gives out. After
// a failure the storage says how much it has, and the rest is sent again. The address is a secret: whoever has it can write.
// Source: Google Cloud Storage documentation, "Perform resumable uploads".

import { OperatingError } from "../../base/errors.ts";
import { KIB } from "../../base/units.ts";
import type { Attempt } from "../retrier.ts";
import { gcsError, isDamagedOnTheWay, MeantFailure, statusOf } from "./gcs-errors.ts";
import { readJson, saidObject, storageFailed } from "./gcs-requests.ts";
import type { GcsRequests, SaidObject } from "./gcs-requests.ts";
import type { HttpAnswer } from "./http-sender.ts";
import { findOurs, objectFields, TIDYING_ATTEMPTS_MAX, uploadQuery } from "./write-object.ts";
import type { ObjectWrite } from "./write-object.ts";

/** Every piece but the last is a multiple of this. */
export const PIECE_STEP_BYTES = 256 * KIB;
const ADDRESS_LENGTH_MAX = 8192;
/** What the storage answers while an upload is not complete. */
const INCOMPLETE = 308;
const CANCELLED = 499;

/** A piece of the object. */
export interface UploadPiece {
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** With the last piece, which is not empty: the object's MD5 in base64. */
  readonly end: { readonly md5: string } | null;
}

/** Where an upload stands: bytes that the storage has, or the finished object. */
type Progress = { readonly persistedBytes: number } | { readonly object: SaidObject };

/** See the head of this file. */
export class UploadSession {
  readonly #requests: GcsRequests;
  readonly #write: ObjectWrite;
  readonly #url: URL;
  readonly #action: string;

  private constructor(requests: GcsRequests, write: ObjectWrite, url: URL) {
    this.#requests = requests;
    this.#write = write;
    this.#url = url;
    this.#action = `could not write "${write.name}"`;
  }

  /** Begins an upload. Throws "repository_exists" where the name is taken already. */
  static async begin(requests: GcsRequests, write: ObjectWrite, sizeBytesMin: number): Promise<UploadSession> {
    const action = `could not write "${write.name}"`;
    const request = {
      method: "POST",
      url: requests.uploadUrl(uploadQuery(requests, write, "resumable")),
      headers: { "content-type": "application/json; charset=UTF-8" },
      body: [Buffer.from(JSON.stringify(objectFields(requests, write, sizeBytesMin)))],
    };
    const url = await requests.run({ action, signal: write.signal }, async (attempt) => {
      const { body, headers } = await requests.send(request, attempt, [200, 201]);
      body.resume();
      return sessionUrl(headers.location ?? "", requests.location.endpoint);
    });
    return new UploadSession(requests, write, url);
  }

  /** Sends a piece until the storage has all of it; gives the object after the last one. `onSentAgain`: parts of it may be sent twice. */
  async send(piece: UploadPiece, signal: AbortSignal, onSentAgain: () => void): Promise<SaidObject | null> {
    const facts = { action: this.#action, sizeBytes: piece.bytes.length, isUpload: true, signal };
    return await this.#requests.run(facts, async (attempt) => {
      if (attempt.number > 1) onSentAgain();
      try {
        return await this.#sendOnce(piece, attempt);
      } catch (error) {
        return await this.#afterFailure(error, piece, attempt);
      }
    });
  }

  /** Drops what was sent. What cannot be dropped now, the storage forgets after a week. Never throws. */
  async cancel(): Promise<void> {
    const facts = { action: `could not cancel the upload of "${this.#write.name}"`, attemptsMax: TIDYING_ATTEMPTS_MAX };
    const cancelling = this.#requests.run(facts, async (attempt) => {
      const request = { method: "DELETE", url: this.#url };
      const { body } = await this.#requests.send(request, attempt, [200, 204, 404, 410, CANCELLED]);
      body.resume();
    });
    await cancelling.catch(() => undefined);
  }

  async #sendOnce(piece: UploadPiece, attempt: Attempt): Promise<SaidObject | null> {
    const { bytes, end, offset } = piece;
    let sentBytes = 0;
    if (attempt.number > 1) {
      const progress = await this.#ask(piece, attempt);
      if ("object" in progress) return progress.object;
      sentBytes = this.#within(piece, progress.persistedBytes);
    }
    while (sentBytes < bytes.length) {
      const rest = bytes.subarray(sentBytes);
      const total = end === null ? "*" : String(offset + bytes.length);
      const headers = {
        "content-range": `bytes ${offset + sentBytes}-${offset + bytes.length - 1}/${total}`,
        ...(end !== null && { "x-goog-hash": `md5=${end.md5}` }),
      };
      const answer = await this.#put({ headers, body: [rest] }, attempt);
      const progress = await progressOf(answer);
      if ("object" in progress) return this.#finished(progress.object, piece);
      const nowBytes = this.#within(piece, progress.persistedBytes);
      if (nowBytes <= sentBytes) throw tookNothing();
      sentBytes = nowBytes;
    }
    if (end === null) return null;
    throw new MeantFailure({
      code: "storage_failed",
      says: "the storage has all bytes and does not finish the upload",
      retryable: true,
    });
  }

  /** An answer may have been lost: then what looks like a refusal is our own object. */
  async #afterFailure(error: unknown, { end }: UploadPiece, attempt: Attempt): Promise<SaidObject> {
    const failure = gcsError(error, { action: this.#action, location: this.#requests.location });
    const isGone = statusOf(error) === 404 || statusOf(error) === 410;
    const isDoubtful = end !== null && (failure.code === "repository_exists" || isGone);
    const ours = isDoubtful ? await findOurs(this.#requests, { ...this.#write, signal: attempt.signal }) : null;
    if (ours !== null) return ours;
    if (isDamagedOnTheWay(error)) {
      throw new OperatingError("corrupt", `${this.#action}: other bytes arrived than were sent`, { cause: error });
    }
    throw isGone ? vanished(failure, this.#action) : failure;
  }

  async #ask({ bytes, end, offset }: UploadPiece, attempt: Attempt): Promise<Progress> {
    const total = end === null ? "*" : String(offset + bytes.length);
    const answer = await this.#put({ headers: { "content-range": `bytes */${total}` }, body: [] }, attempt);
    if (answer.status === INCOMPLETE) return await progressOf(answer);
    // Finished before: what is said of the object then, nobody has promised.
    answer.body.resume();
    const object = await findOurs(this.#requests, { ...this.#write, signal: attempt.signal });
    if (object !== null) return { object };
    throw storageFailed(`${this.#action}: it is not there after the upload`);
  }

  async #put(
    content: { readonly headers: Readonly<Record<string, string>>; readonly body: readonly Uint8Array[] },
    attempt: Attempt,
  ): Promise<HttpAnswer> {
    const request = { method: "PUT", url: this.#url, ...content };
    return await this.#requests.send(request, attempt, [200, 201, INCOMPLETE]);
  }

  #finished(object: SaidObject, { end }: UploadPiece): SaidObject {
    if (end !== null) return object;
    throw storageFailed(`${this.#action}: the storage finished the upload before its end`);
  }

  /** How much of a piece the storage has. */
  #within({ bytes, offset }: UploadPiece, persistedBytes: number): number {
    const within = persistedBytes - offset;
    if (within >= 0 && within <= bytes.length) return within;
    throw storageFailed(`${this.#action}: the storage has ${persistedBytes} bytes, and had ${offset} before`);
  }
}

async function progressOf(answer: HttpAnswer): Promise<Progress> {
  if (answer.status !== INCOMPLETE) return { object: saidObject(await readJson(answer)) };
  answer.body.resume();
  const { range } = answer.headers;
  if (range === undefined) return { persistedBytes: 0 };
  const last = /^bytes=0-(\d{1,15})$/.exec(range)?.[1];
  if (last !== undefined) return { persistedBytes: Number(last) + 1 };
  throw new MeantFailure({ code: "storage_failed", says: "the storage does not say how much it has", retryable: true });
}

function sessionUrl(said: string, endpoint: string): URL {
  const url = said.length <= ADDRESS_LENGTH_MAX && URL.canParse(said, endpoint) ? new URL(said, endpoint) : null;
  const isSound = url !== null && ["http:", "https:"].includes(url.protocol);
  // Data and its address must not leave an encrypted way.
  if (isSound && (url.protocol === "https:" || endpoint.startsWith("http:"))) return url;
  throw new MeantFailure({ code: "storage_failed", says: "the upload got no address", retryable: true });
}

function tookNothing(): MeantFailure {
  return new MeantFailure({
    code: "storage_failed",
    says: "the storage took nothing of what was sent",
    retryable: true,
  });
}

/** The storage forgot the upload: it failed there, or it is older than a week. */
function vanished(failure: OperatingError, action: string): OperatingError {
  return new OperatingError("storage_failed", `${action}: the storage no longer knows the upload`, {
    hint: "It may have failed inside of the storage, or lasted longer than a week. Run the command again.",
    cause: failure,
  });
}
