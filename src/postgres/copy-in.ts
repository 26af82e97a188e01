// COPY … FROM STDIN: the writer for its bytes. Row borders need not be piece borders.
// Source: PostgreSQL manual, "COPY Operations": after an error the server drops what is still sent.

import { assert } from "../base/assert.ts";
import { OperatingError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import { CopyOperation } from "./copy-operation.ts";
import type { Message } from "./message-reader.ts";
import { BACKEND, encodeHeader, encodeMessage, FRONTEND } from "./messages.ts";

/** Longest CopyData payload sent: the server holds a whole message in memory. */
export const COPY_IN_MESSAGE_BYTES_MAX = 16 * MIB;

const FAIL_REASON_LENGTH_MAX = 1000;

/** What the writer needs of its session's socket. */
export interface CopyInControl {
  /** Sends parts in order as one batch; `written` is called when the kernel has them or the socket is gone. */
  send(parts: readonly Uint8Array[], written?: () => void): void;
}

/** The open end of a COPY. One of finish(), fail() and disposal ends it. */
export class CopyInWriter extends CopyOperation implements AsyncDisposable {
  readonly #control: CopyInControl;
  readonly #signal: AbortSignal | undefined;
  readonly #opened = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #waiting = new Set<(error: unknown) => void>();
  #state: "starting" | "open" | "closing" | "ended" = "starting";

  constructor(control: CopyInControl, signal: AbortSignal | undefined) {
    super();
    this.#control = control;
    this.#signal = signal;
  }

  /** Resolves when the server wants data; rejects when it refused the statement. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /**
   * Sends bytes, unchanged and without a copy. Resolves when the kernel has taken them: only then may the caller reuse
   * their memory. Rejects as soon as the server reported an error or the connection is lost.
   */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#state === "ended") return Promise.reject(this.#failure());
    assert(this.#state === "open", "write() after finish() or fail()");
    if (bytes.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      const parts: Uint8Array[] = [];
      for (let offset = 0; offset < bytes.length; offset += COPY_IN_MESSAGE_BYTES_MAX) {
        const piece = bytes.subarray(offset, offset + COPY_IN_MESSAGE_BYTES_MAX);
        parts.push(encodeHeader(FRONTEND.copyData, piece.length), piece);
      }
      this.#control.send(parts, () => {
        if (this.#waiting.delete(reject)) resolve();
      });
    });
  }

  /** Ends the data; resolves when the server has taken all rows. */
  async finish(): Promise<{ readonly rowCount: number | null }> {
    if (this.#state !== "ended") {
      assert(this.#state === "open", "finish() called twice");
      this.#state = "closing";
      this.#control.send([encodeMessage(FRONTEND.copyDone)]);
      await this.#ended.promise;
    }
    if (this.error !== null || this.#signal?.aborted) throw this.#failure();
    return { rowCount: this.rowCount };
  }

  /** Abandons the COPY: the server undoes it. The reason stands in the server's log. */
  async fail(reason: string): Promise<void> {
    if (this.#state === "open") {
      this.#state = "closing";
      this.sendFail(reason);
    }
    if (this.#state !== "ended") await this.#ended.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fail("the writer was abandoned");
  }

  /** Tells the server that no more comes; used on cancellation too, where a waiting server does not look at a CancelRequest. */
  sendFail(reason: string): void {
    const text = reason.replaceAll("\0", "").slice(0, FAIL_REASON_LENGTH_MAX);
    this.#control.send([encodeMessage(FRONTEND.copyFail, Buffer.from(`${text}\0`, "utf8"))]);
  }

  /** True while the server waits for data. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  protected receiveCopy({ type }: Message): boolean {
    if (type !== BACKEND.copyInResponse) return type === BACKEND.copyOutResponse || type === BACKEND.copyData;
    if (this.#state === "starting") {
      this.#state = "open";
      this.#opened.resolve();
    } else {
      this.sendFail("only one COPY per string of statements is possible");
    }
    return true;
  }

  finishOperation(): void {
    const wasOpened = this.#state !== "starting";
    this.#state = "ended";
    if (!wasOpened) {
      this.error ??= new OperatingError("query_failed", "the statement given to copyIn() takes no data");
      this.#opened.reject(this.#failure());
    }
    this.#ended.resolve();
    for (const reject of this.#waiting) reject(this.#failure());
    this.#waiting.clear();
  }

  #failure(): unknown {
    if (this.#signal?.aborted) return this.#signal.reason;
    return this.error ?? new OperatingError("query_failed", "the COPY has already ended");
  }
}
