// Writes the members of a tar archive to a sink, front to back: headers, contents, padding, the end mark.

import { assert } from "../base/assert.ts";
import type { MemberSink } from "./member-archive-writer.ts";
import { encodeTarHeader, TAR_END_BYTES, tarPaddingBytes } from "./tar-header.ts";

/** Members into one stream. */
export class TarSink implements MemberSink {
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  readonly #modifiedAtSeconds: number;
  #open: { readonly sizeBytes: number; leftBytes: number } | null = null;

  /** `modifiedAtSeconds` is written into each header. */
  constructor(write: (bytes: Uint8Array) => Promise<void>, modifiedAtSeconds: number) {
    this.#write = write;
    this.#modifiedAtSeconds = modifiedAtSeconds;
  }

  async begin(name: string, sizeBytes: number | null): Promise<void> {
    assert(this.#open === null, "a tar member is ended before the next one begins");
    assert(sizeBytes !== null, "the size of a tar member is known beforehand");
    this.#open = { sizeBytes, leftBytes: sizeBytes };
    await this.#write(encodeTarHeader({ name, sizeBytes }, this.#modifiedAtSeconds));
  }

  async write(bytes: Uint8Array): Promise<void> {
    assert(
      this.#open !== null && bytes.byteLength <= this.#open.leftBytes,
      "a tar member is as long as its header says",
    );
    this.#open.leftBytes -= bytes.byteLength;
    if (bytes.byteLength > 0) await this.#write(bytes);
  }

  async end(): Promise<void> {
    assert(this.#open?.leftBytes === 0, "a tar member is as long as its header says");
    const padding = tarPaddingBytes(this.#open.sizeBytes);
    if (padding > 0) await this.#write(Buffer.alloc(padding));
    this.#open = null;
  }

  /** Writes the end mark. */
  async finish(): Promise<void> {
    assert(this.#open === null, "the last tar member is ended");
    await this.#write(Buffer.alloc(TAR_END_BYTES));
  }
}
