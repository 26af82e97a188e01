// Makes the digests of parts in a thread, so that the main thread, through which all bytes of a backup go, does not. The
// bytes go there and back without being copied (the AWS client, and Web Crypto, would read or copy them in the main
// thread). The thread begins with the first part. Memory: that of the parts, and of one thread.

import { Worker } from "node:worker_threads";
import { assert } from "../../base/assert.ts";
import { siblingModuleUrl } from "../../base/worker-url.ts";
import type { Digest } from "./checksums.ts";
import type { ChecksumMode } from "./s3-location.ts";

/** From us to the thread. */
export interface ToHashThread {
  readonly number: number;
  readonly mode: ChecksumMode;
  readonly buffer: ArrayBuffer;
}

/** From the thread to us. */
export interface FromHashThread {
  readonly number: number;
  readonly buffer: ArrayBuffer;
  readonly digest: Uint8Array;
  readonly sha256: Uint8Array;
}

/** A part and its digests. */
export interface HashedPart {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** In the mode that was asked for. */
  readonly digest: Digest;
  /** What a request's signature covers. */
  readonly sha256: Digest;
}

type Waiting = PromiseWithResolvers<FromHashThread>;

/** See the head of this file. */
export class PartHasher {
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | null = null;
  #count = 0;

  /** Takes the bytes, which must be all of their buffer, and gives them back in another view. */
  async hash(mode: ChecksumMode, bytes: Uint8Array<ArrayBuffer>): Promise<HashedPart> {
    assert(bytes.byteLength === bytes.buffer.byteLength, "a part is all of its buffer");
    this.#worker ??= this.#start();
    const number = this.#count;
    this.#count += 1;
    const waiting: Waiting = Promise.withResolvers();
    this.#waiting.set(number, waiting);
    // While something is awaited, the thread keeps the process from ending; else it does not.
    this.#worker.ref();
    this.#worker.postMessage({ number, mode, buffer: bytes.buffer } satisfies ToHashThread, [bytes.buffer]);
    const { buffer, digest, sha256 } = await waiting.promise;
    return { bytes: new Uint8Array(buffer), digest: Buffer.from(digest), sha256: Buffer.from(sha256) };
  }

  /** Ends the thread; what is awaited fails. */
  dispose(): void {
    void this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(siblingModuleUrl(import.meta.url, "hash-thread"), { name: "hash" });
    worker.on("message", (answer: FromHashThread) => {
      this.#waiting.get(answer.number)?.resolve(answer);
      this.#waiting.delete(answer.number);
      if (this.#waiting.size === 0) worker.unref();
    });
    worker.once("error", (error) => this.#fail(error));
    worker.once("exit", () => this.#fail(new Error("the thread that makes checksums ended")));
    return worker;
  }

  /** The next part begins another thread. */
  #fail(error: unknown): void {
    this.#worker = null;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
