// SHA-256 of a file that is still being written: a thread reads what is with the system already and keeps up, so that
// little is left at the end. What it reads is the file itself, not what somebody meant to write.

import { Worker } from "node:worker_threads";

import { siblingModuleUrl } from "../../base/worker-url.ts";

/** From us to the thread, taken in order. */
export type ToHashThread =
  | { readonly kind: "written"; readonly sizeBytes: number }
  | { readonly kind: "restart" }
  | { readonly kind: "finish" };

/** From the thread to us, once. */
export interface FromHashThread {
  readonly sha256: string;
}

/** What the thread is started with. */
export interface HashThreadOptions {
  readonly path: string;
}

/** See the head of this file. Disposing it ends the thread. */
export class FollowingHash implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #result = Promise.withResolvers<string>();

  constructor(path: string) {
    const workerData: HashThreadOptions = { path };
    this.#worker = new Worker(siblingModuleUrl(import.meta.url, "hash-thread"), { workerData, name: "hash" });
    const { promise, resolve, reject } = this.#result;
    promise.catch(() => {}); // it is thrown by finish(), which may never be called
    this.#worker.once("message", ({ sha256 }: FromHashThread) => resolve(sha256));
    this.#worker.once("error", reject);
    this.#worker.once("exit", () => reject(new Error("the thread that makes the checksum ended")));
  }

  /** The file is there up to this size, and what is there will not change, unless restart() is called. */
  written(sizeBytes: number): void {
    this.#send({ kind: "written", sizeBytes });
  }

  /** Something that was written before was changed. */
  restart(): void {
    this.#send({ kind: "restart" });
  }

  /** Hex, of all of the file's bytes up to the size written last. */
  async finish(signal: AbortSignal): Promise<string> {
    const { promise, reject } = this.#result;
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    try {
      signal.throwIfAborted();
      this.#send({ kind: "finish" });
      return await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  #send(message: ToHashThread): void {
    this.#worker.postMessage(message);
  }
}
