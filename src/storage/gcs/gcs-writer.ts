// Streams an object of unknown length into a resumable upload. Nothing is visible under its name before the last piece;
// what fits into the first piece is put in one request. Memory: the piece on its way and the one being filled.
// An upload that is never finished is invisible, and no list shows it: the storage forgets it after a week.

import { createHash } from "node:crypto";
import { OperatingError } from "../../base/errors.ts";
import { freeBuffer } from "../../base/free-buffer.ts";
import { MIB } from "../../base/units.ts";
import { OngoingWrite } from "../ongoing-write.ts";
import type { ObjectWriter, StoredObject, WrittenContent } from "../storage.ts";
import type { GcsRequests, SaidObject } from "./gcs-requests.ts";
import { PIECE_STEP_BYTES, UploadSession } from "./upload-session.ts";
import { confirmObject, putObject, removeOurs } from "./write-object.ts";
import type { ObjectWrite } from "./write-object.ts";

/** Google asks for at least 8 MiB; each piece costs a round trip on top. */
const FIRST_PIECE_BYTES = 8 * MIB;
const PIECE_BYTES = 64 * PIECE_STEP_BYTES;
/** Google's limit for one object. */
const OBJECT_BYTES_MAX = 5 * 1024 * 1024 * MIB;

/** See the head of this file. */
export class GcsWriter implements ObjectWriter {
  readonly #requests: GcsRequests;
  readonly #write: ObjectWrite;
  readonly #ongoing: OngoingWrite;
  readonly #md5 = createHash("md5");
  /** The piece being filled: a buffer of its own, so that it can be sent again and its memory freed at once. */
  #piece: Buffer = Buffer.alloc(0);
  #gatheredBytes = 0;
  #sentBytes = 0;
  #session: UploadSession | null = null;
  #onItsWay: Promise<unknown> = Promise.resolve();
  /** True once the last piece was sent: the object may be there whatever was answered. */
  #isEnding = false;

  constructor(requests: GcsRequests, write: ObjectWrite) {
    this.#requests = requests;
    this.#write = write;
    this.#ongoing = new OngoingWrite(write);
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#ongoing.takeTurn(async () => await this.#append(bytes));
  }

  async finish(expected?: WrittenContent): Promise<StoredObject> {
    const last = async (): Promise<StoredObject> => {
      const sizeBytes = this.#sentBytes + this.#gatheredBytes;
      if (expected !== undefined && expected.sizeBytes !== sizeBytes) {
        throw new OperatingError(
          "corrupt",
          `${this.#ongoing.action}: it got ${sizeBytes} bytes, not ${expected.sizeBytes}`,
        );
      }
      return this.#session === null ? await this.#putWhole(expected) : await this.#finishUpload(this.#session);
    };
    return await this.#ongoing.finish(last, async () => await this.abort());
  }

  async abort(): Promise<void> {
    if (!this.#ongoing.isOpen) return;
    await this.#ongoing.cancel();
    await this.#onItsWay;
    this.#piece = Buffer.alloc(0);
    await this.#session?.cancel();
    if (this.#isEnding) await removeOurs(this.#requests, this.#write);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  /** Cuts bytes into pieces. A full one is sent when more bytes come: the last one must not be empty. */
  async #append(bytes: Uint8Array): Promise<void> {
    if (this.#sentBytes + this.#gatheredBytes + bytes.length > OBJECT_BYTES_MAX) {
      throw new OperatingError("value_too_large", `${this.#ongoing.action}: it has too many bytes for Cloud Storage`);
    }
    this.#md5.update(bytes);
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#gatheredBytes === this.#piece.length) await this.#nextPiece();
      const count = Math.min(rest.length, this.#piece.length - this.#gatheredBytes);
      this.#piece.set(rest.subarray(0, count), this.#gatheredBytes);
      this.#gatheredBytes += count;
      rest = rest.subarray(count);
    }
  }

  async #nextPiece(): Promise<void> {
    if (this.#gatheredBytes > 0) await this.#dispatch();
    this.#piece = Buffer.allocUnsafeSlow(this.#sentBytes === 0 ? FIRST_PIECE_BYTES : PIECE_BYTES);
  }

  /** Sends what was gathered, after what is on its way. */
  async #dispatch(): Promise<void> {
    await this.#onItsWay;
    this.#ongoing.check();
    this.#session ??= await UploadSession.begin(
      this.#requests,
      { ...this.#write, signal: this.#ongoing.signal },
      this.#gatheredBytes,
    );
    const offset = this.#sentBytes;
    const bytes = this.#takeGathered();
    this.#sentBytes += bytes.length;
    this.#onItsWay = this.#sendPiece(this.#session, bytes, offset).catch((error: unknown) => this.#ongoing.fail(error));
  }

  async #sendPiece(session: UploadSession, bytes: Uint8Array, offset: number): Promise<void> {
    let isSentAgain = false;
    await session.send({ offset, bytes, end: null }, this.#ongoing.signal, () => (isSentAgain = true));
    // An earlier attempt that was given up could still hold it.
    if (!isSentAgain) freeBuffer(bytes);
  }

  #takeGathered(): Uint8Array {
    const bytes = this.#piece.subarray(0, this.#gatheredBytes);
    this.#piece = Buffer.alloc(0);
    this.#gatheredBytes = 0;
    return bytes;
  }

  async #putWhole(expected: WrittenContent | undefined): Promise<StoredObject> {
    const bytes = this.#takeGathered();
    const sha256 = createHash("sha256").update(bytes).digest();
    if (expected !== undefined && Buffer.compare(sha256, expected.sha256) !== 0) {
      throw new OperatingError("corrupt", `${this.#ongoing.action}: it got other bytes than were expected`);
    }
    return await putObject(this.#requests, { ...this.#write, signal: this.#ongoing.signal }, bytes);
  }

  async #finishUpload(session: UploadSession): Promise<StoredObject> {
    await this.#onItsWay;
    this.#ongoing.check();
    const offset = this.#sentBytes;
    const bytes = this.#takeGathered();
    const md5 = this.#md5.digest("base64");
    const sizeBytes = offset + bytes.length;
    this.#isEnding = true;
    const said = await session.send({ offset, bytes, end: { md5 } }, this.#ongoing.signal, () => undefined);
    return await this.#confirm(said, { sizeBytes, md5 });
  }

  async #confirm(said: SaidObject | null, sent: { sizeBytes: number; md5: string }): Promise<StoredObject> {
    if (said === null) throw new OperatingError("storage_failed", `${this.#ongoing.action}: the upload did not end`);
    return await confirmObject(this.#requests, { ...this.#write, signal: this.#ongoing.signal }, { sent, said });
  }
}
