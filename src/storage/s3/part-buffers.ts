// Memory for parts, used again: fresh memory costs as much as what is copied into it, and calls the garbage collector.

import { freeBuffer } from "../../base/free-buffer.ts";
import { IN_FLIGHT_BYTES_MAX } from "./part-plan.ts";

/** See the head of this file. Memory: IN_FLIGHT_BYTES_MAX that is kept. */
export class PartBuffers {
  readonly #kept: ArrayBuffer[] = [];
  #keptBytes = 0;

  /** So many bytes, whatever is in them. */
  take(sizeBytes: number): Uint8Array<ArrayBuffer> {
    const index = this.#kept.findIndex((buffer) => buffer.byteLength === sizeBytes);
    if (index < 0) return Buffer.allocUnsafeSlow(sizeBytes);
    const [buffer] = this.#kept.splice(index, 1);
    this.#keptBytes -= sizeBytes;
    return new Uint8Array(buffer!);
  }

  /** Takes back what nobody uses any more. */
  give(bytes: Uint8Array<ArrayBuffer>): void {
    const { buffer, byteLength } = bytes;
    if (byteLength !== buffer.byteLength || this.#keptBytes + byteLength > IN_FLIGHT_BYTES_MAX) {
      freeBuffer(bytes);
      return;
    }
    this.#kept.push(buffer);
    this.#keptBytes += byteLength;
  }
}
