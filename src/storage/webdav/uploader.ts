// Sends bytes to a path (PUT): bytes at hand in one request, and an object that is still being made in one request of unknown
// length. Where that breaks, or the server does not take it, the object is sent again with its length when it is complete.

import { isOperatingError, OperatingError } from "../../base/errors.ts";
import type { Attempt } from "../retrier.ts";
import type { Folders } from "./folders.ts";
import type { Body } from "./http-exchange.ts";
import { wholeBody } from "./http-exchange.ts";
import type { ObjectWrite, SentContent } from "./object-write.ts";
import type { KeepingBudget } from "./outgoing-bytes.ts";
import { OutgoingBytes } from "./outgoing-bytes.ts";
import { refusalError } from "./webdav-errors.ts";
import type { WebdavRequests } from "./webdav-requests.ts";

/** A server computes nothing from an object but checksums; it answers within the usual limits. This bounds a whole upload. */
const UPLOAD_SECONDS_MAX = 24 * 3600;
const LENGTH_IS_WANTED = [411, 501];
/** On a PUT without conditions: the bytes came damaged or not at all, by Content-Length or checksum. */
const CAME_DAMAGED = [400, 412];

/** An upload that is under way. */
export interface Upload {
  readonly bytes: OutgoingBytes;
  /** Ends when all bytes are sent and the server has as many. */
  readonly sent: Promise<void>;
}

/** See the head of this file. */
export class Uploader {
  readonly #requests: WebdavRequests;
  readonly #folders: Folders;
  readonly #budget: KeepingBudget;
  /** Some servers, and proxies before them, drop or refuse a body whose length they are not told. */
  #wantsLength = false;

  constructor(requests: WebdavRequests, folders: Folders, budget: KeepingBudget) {
    this.#requests = requests;
    this.#folders = folders;
    this.#budget = budget;
  }

  /** Sends bytes to a path below the repository. */
  async put(write: ObjectWrite, name: string, bytes: Uint8Array, content?: SentContent): Promise<void> {
    const path = this.#requests.pathOf(name);
    const facts = { action: actionOf(write), sizeBytes: bytes.length, signal: write.signal };
    await this.#requests.run(facts, async (attempt) => {
      await this.#send(attempt, facts.action, { path, body: wholeBody(bytes), content });
    });
  }

  /** Begins an upload to a path below the repository. */
  begin(write: ObjectWrite, name: string, signal: AbortSignal): Upload {
    const bytes = new OutgoingBytes(this.#budget);
    return { bytes, sent: this.#stream({ action: actionOf(write), path: this.#requests.pathOf(name), bytes, signal }) };
  }

  async #stream(upload: { action: string; path: string; bytes: OutgoingBytes; signal: AbortSignal }): Promise<void> {
    const { action, bytes, path, signal } = upload;
    const sizeBytes = UPLOAD_SECONDS_MAX * this.#requests.policy.slowestBytesPerSecond;
    let first: unknown = null;
    await this.#requests.run({ action, sizeBytes, signal }, async (attempt) => {
      if (!bytes.isWhole) throw notKept(action, first);
      const idle = (): void => attempt.alive();
      if (this.#wantsLength || attempt.number > 1) await bytes.complete(attempt.signal, idle);
      const { lengthBytes } = bytes;
      const body = { lengthBytes, pieces: () => bytes.read(attempt.signal, idle) };
      try {
        await this.#send(attempt, action, { path, body });
        await this.#checkSize(attempt, action, { path, bytes, isLengthKnown: lengthBytes !== null });
      } catch (error) {
        first ??= error;
        throw error;
      }
    });
  }

  async #send(
    attempt: Attempt,
    action: string,
    { body, content, path }: { path: string; body: Body; content?: SentContent | undefined },
  ): Promise<void> {
    const { isOwncloud } = this.#requests.location;
    const sha1 = content?.sha1 ?? null;
    const headers = {
      "Content-Type": "application/octet-stream",
      // ownCloud compares it, Nextcloud keeps it; with X-Hash Nextcloud answers with the checksum of what came.
      ...(sha1 !== null && { "OC-Checksum": `SHA1:${sha1}` }),
      ...(isOwncloud && { "X-Hash": "sha256" }),
    };
    const request = { method: "PUT", path, headers, body };
    const expected = [...CAME_DAMAGED, ...LENGTH_IS_WANTED];
    // Its folder may have gone: some servers say so (409), others just fail.
    if (attempt.number > 1) this.#folders.forget(path);
    await this.#folders.ensureFor(path);
    const { message, status } = await this.#requests.send(attempt, action, request, expected);
    await this.#requests.drain(message, attempt);
    if (LENGTH_IS_WANTED.includes(status) && body.lengthBytes === null) this.#wantsLength = true;
    else if (LENGTH_IS_WANTED.includes(status)) throw refusal(action, status);
    if (status >= 300) throw again(refusal(action, status));
    const hash = message.headers["x-hash-sha256"];
    if (content !== undefined && typeof hash === "string" && hash.toLowerCase() !== content.sha256.toString("hex")) {
      throw new OperatingError("corrupt", `${action}: it came with another checksum than it was sent`, {
        retryable: true,
      });
    }
  }

  /** Asks how many bytes have come. */
  async #checkSize(
    attempt: Attempt,
    action: string,
    { bytes, isLengthKnown, path }: { path: string; bytes: OutgoingBytes; isLengthKnown: boolean },
  ): Promise<void> {
    const said = await this.#requests.lookOnce(attempt, path, action);
    if (said?.sizeBytes === bytes.lengthBytes) return;
    if (!isLengthKnown) this.#wantsLength = true;
    const count = said?.sizeBytes ?? 0;
    throw new OperatingError("storage_failed", `${action}: of ${bytes.lengthBytes ?? 0} bytes came ${count}`, {
      retryable: true,
    });
  }
}

const actionOf = ({ name }: ObjectWrite): string => `could not write "${name}"`;

function refusal(action: string, status: number): OperatingError {
  if (!CAME_DAMAGED.includes(status)) return refusalError(action, { status, text: "", hasCredentials: true });
  return new OperatingError("storage_failed", `${action}: it did not come whole`, {
    detail: `The server answered with HTTP status ${status}.`,
  });
}

function again(error: OperatingError): OperatingError {
  const { code, detail, hint, message } = error;
  return new OperatingError(code, message, { detail, hint, retryable: true, cause: error });
}

/** The first failure, said to be final. */
function notKept(action: string, first: unknown): OperatingError {
  const { code, hint, message } = isOperatingError(first)
    ? first
    : new OperatingError("storage_failed", `${action}: it broke off`);
  return new OperatingError(code, message, {
    detail: "So much was written at once that what was sent could not be kept to send it again.",
    hint: hint ?? "Run the command again.",
    cause: first,
  });
}
