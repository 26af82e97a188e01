// Streams an object of unknown length into blocks. Nothing is visible under its name before the last request; what fits into
// one block is put in one request. Memory: the block being filled, and IN_FLIGHT_BYTES_MAX on their way.
// Whatever fails, the blocks are dropped (staged-blocks.ts).

import { createHash } from "node:crypto";
import { OperatingError } from "../../base/errors.ts";
import { freeBuffer } from "../../base/free-buffer.ts";
import { MIB } from "../../base/units.ts";
import { OngoingWrite } from "../ongoing-write.ts";
import type { ObjectWriter, StoredObject, WrittenContent } from "../storage.ts";
import { failureName } from "./azure-errors.ts";
import type { AzureRequests } from "./azure-requests.ts";
import {
  bodyOf,
  confirmObject,
  isOurs,
  md5Of,
  objectOptions,
  putObject,
  removeIfOurs,
  writeOnce,
} from "./put-object.ts";
import type { ObjectWrite, SentContent } from "./put-object.ts";
import { blockId, BLOCKS_MAX, discardBlocks } from "./staged-blocks.ts";
import type { Upload } from "./staged-blocks.ts";

/** With BLOCKS_MAX of them, an object has 390 GiB at most. */
const BLOCK_BYTES = 8 * MIB;
/** Blocks of one writer that may be on their way at once. */
const IN_FLIGHT_BYTES_MAX = 24 * MIB;
/** Blocks older than LEFTOVER_DEAD_AFTER_MS count as left over by a dead writer; no upload of ours lasts nearly so long. */
const UPLOAD_AGE_MS_MAX = 3 * 24 * 3600 * 1000;
/** The storage puts the blocks together meanwhile. */
const COMPLETION_MS_MAX = 5 * 60_000;
const ANNOUNCEMENT = Buffer.from("+");

/** See the head of this file. */
export class AzureWriter implements ObjectWriter {
  readonly #requests: AzureRequests;
  readonly #write: ObjectWrite;
  readonly #ongoing: OngoingWrite;
  readonly #upload: Upload;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #openedAtMs = performance.now();
  #gathered: Uint8Array[] = [];
  #gatheredBytes = 0;
  #inFlightBytes = 0;
  #blockCount = 0;
  #sizeBytes = 0;
  /** True once blocks were sent. */
  #isStaged = false;
  /** True once the last request was sent: the object may be there whatever was answered. */
  #isCompleting = false;

  constructor(requests: AzureRequests, write: ObjectWrite) {
    this.#requests = requests;
    this.#write = write;
    this.#upload = { mark: write.mark, beganAtMs: Date.now() };
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
      const sent = this.#isStaged ? await this.#finishBlocks(expected) : await this.#putWhole(expected);
      return await confirmObject(this.#requests, this.#write, sent);
    };
    return await this.#ongoing.finish(last, async () => await this.abort());
  }

  async abort(): Promise<void> {
    if (!this.#ongoing.isOpen) return;
    await this.#ongoing.cancel();
    await Promise.allSettled(this.#inFlight);
    this.#gathered = [];
    if (this.#isCompleting) await removeIfOurs(this.#requests, this.#write);
    if (!this.#isStaged) return;
    // Another writer of the same name needs its own: then ours go with its end. What cannot be dropped is named as a left-over.
    const areOurs = ({ marks }: { readonly marks: ReadonlySet<string | null> }): boolean =>
      marks.size === 1 && marks.has(this.#upload.mark);
    await discardBlocks(this.#requests, this.#write.name, areOurs).catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  /** Cuts bytes into blocks; a full one goes on its way when there is room for it. */
  async #append(bytes: Uint8Array): Promise<void> {
    this.#sizeBytes += bytes.length;
    let rest = bytes;
    while (rest.length > 0) {
      const piece = rest.subarray(0, BLOCK_BYTES - this.#gatheredBytes);
      rest = rest.subarray(piece.length);
      this.#gathered.push(piece);
      this.#gatheredBytes += piece.length;
      if (this.#gatheredBytes === BLOCK_BYTES) await this.#dispatch();
    }
  }

  async #dispatch(): Promise<void> {
    await this.#begin();
    if (this.#blockCount >= BLOCKS_MAX) {
      throw new OperatingError("value_too_large", `${this.#ongoing.action}: it has too many bytes for Azure`);
    }
    const sizeBytes = this.#gatheredBytes;
    while (this.#inFlight.size > 0 && this.#inFlightBytes + sizeBytes > IN_FLIGHT_BYTES_MAX) {
      await Promise.race(this.#inFlight);
      this.#ongoing.check();
    }
    const body = this.#takeGathered();
    this.#blockCount += 1;
    this.#inFlightBytes += sizeBytes;
    const sending = this.#sendBlock(this.#blockCount, body)
      .catch((error: unknown) => this.#ongoing.fail(error))
      .finally(() => {
        this.#inFlight.delete(sending);
        this.#inFlightBytes -= sizeBytes;
      });
    this.#inFlight.add(sending);
  }

  /** One buffer of its own, so that a block can be sent again and its memory freed at once. */
  #takeGathered(): Uint8Array {
    const body = Buffer.allocUnsafeSlow(this.#gatheredBytes);
    let offset = 0;
    for (const piece of this.#gathered) {
      body.set(piece, offset);
      offset += piece.length;
    }
    this.#gathered = [];
    this.#gatheredBytes = 0;
    return body;
  }

  /** Announces the upload before its first block, so that from then on it can be found; missing rights show at once too. */
  async #begin(): Promise<void> {
    if (this.#isStaged) return;
    this.#isStaged = true;
    await this.#sendBlock(0, ANNOUNCEMENT);
  }

  async #sendBlock(number: number, body: Uint8Array): Promise<void> {
    const blob = this.#requests.blobOf(this.#write.name);
    const md5 = md5Of(body);
    const facts = { action: this.#ongoing.action, sizeBytes: body.length, signal: this.#ongoing.signal };
    let attempts = 0;
    await this.#requests.run(facts, async (attempt) => {
      attempts = attempt.number;
      await blob.stageBlock(blockId(this.#upload, number), bodyOf(body), body.length, {
        transactionalContentMD5: md5,
        abortSignal: attempt.signal,
        onProgress: () => attempt.alive(),
      });
    });
    // An earlier attempt that was given up could still hold it.
    if (attempts === 1 && number > 0) freeBuffer(body);
  }

  async #putWhole(expected: WrittenContent | undefined): Promise<SentContent> {
    const write = { ...this.#write, signal: this.#ongoing.signal };
    const body = this.#takeGathered();
    const sha256 = createHash("sha256").update(body).digest();
    if (expected !== undefined && Buffer.compare(sha256, expected.sha256) !== 0) {
      throw new OperatingError("corrupt", `${this.#ongoing.action}: it got other bytes than were expected`);
    }
    const sent = await putObject(this.#requests, write, body, sha256);
    // From here on a failure must not leave it there, as for an upload in blocks.
    this.#isCompleting = true;
    return sent;
  }

  async #finishBlocks(expected: WrittenContent | undefined): Promise<SentContent> {
    if (this.#gatheredBytes > 0) await this.#dispatch();
    await Promise.all(this.#inFlight);
    this.#ongoing.check();
    if (performance.now() - this.#openedAtMs > UPLOAD_AGE_MS_MAX) {
      throw new OperatingError("stalled", `${this.#ongoing.action}: the upload took more than three days`);
    }
    await this.#complete(expected);
    return { sizeBytes: this.#sizeBytes, md5: null };
  }

  async #complete(expected: WrittenContent | undefined): Promise<void> {
    const blob = this.#requests.blobOf(this.#write.name);
    const write = { ...this.#write, signal: this.#ongoing.signal };
    const ids = Array.from({ length: this.#blockCount }, (_, index) => blockId(this.#upload, index + 1));
    const options = objectOptions(this.#requests, write, expected ?? { sizeBytes: this.#sizeBytes });
    const facts = { action: this.#ongoing.action, silenceMs: COMPLETION_MS_MAX, signal: this.#ongoing.signal };
    this.#isCompleting = true;
    await this.#requests.run(facts, async (attempt) => {
      await writeOnce(this.#requests, write, this.#ongoing.action, async () => {
        try {
          await blob.commitBlockList(ids, { ...options, abortSignal: attempt.signal });
        } catch (error) {
          // An answer may have been lost, and the blocks be gone because they are the object.
          if (failureName(error) !== "InvalidBlockList" || !(await isOurs(this.#requests, write))) throw error;
        }
      });
    });
  }
}
