// Reads chunks of a run's parent back, with requests and bytes of its own count: a receipt tells what they were.

import type { UnsealedChunk } from "./chunk-reader.ts";
import { ChunkReader } from "./chunk-reader.ts";
import type { RepositoryContext } from "./context.ts";
import type { ChunkReference } from "./lists.ts";
import { CountingStorage } from "./transfer.ts";
import type { Transfer } from "./transfer.ts";

/** See Run.openReadBack(). */
export class ReadBack {
  readonly #storage: CountingStorage;
  readonly #chunks: ChunkReader;

  constructor(context: RepositoryContext) {
    this.#storage = new CountingStorage(context.storage);
    this.#chunks = new ChunkReader({ ...context, storage: this.#storage });
  }

  /** What was read so far. */
  get transfer(): Readonly<Transfer> {
    return this.#storage.transfer;
  }

  /** Full chunks that lie one right behind another in one pack, in one request. Throws as reading a chunk does. */
  async read(neighbours: readonly ChunkReference[], signal: AbortSignal): Promise<readonly UnsealedChunk[]> {
    return await this.#chunks.readTogether(neighbours, signal);
  }

  /** The plaintext of a chunk that was read, whose bytes are nobody's afterwards. Throws OperatingError "corrupt". */
  async plaintextOf(chunk: UnsealedChunk): Promise<Uint8Array> {
    return await this.#chunks.plaintextOf(chunk);
  }
}
