// Counts what goes over to the storage and back, for receipts and for tests of how little a restore reads.

import type { ByteRange, Leftover, ObjectWriter, PutOptions, Storage, StoredObject } from "../storage/index.ts";

/** Requests and bytes since the repository was opened. */
export interface Transfer {
  requests: number;
  bytesRead: number;
  bytesWritten: number;
}

/** A storage that counts. */
export class CountingStorage implements Storage {
  readonly description: string;
  readonly transfer: Transfer = { requests: 0, bytesRead: 0, bytesWritten: 0 };
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.description = storage.description;
  }

  get isLocal(): boolean {
    return this.#storage.isLocal === true;
  }

  async openWriter(name: string, options?: PutOptions): Promise<ObjectWriter> {
    this.transfer.requests += 1;
    const writer = await this.#storage.openWriter(name, options);
    return {
      write: async (bytes) => {
        this.transfer.bytesWritten += bytes.length;
        await writer.write(bytes);
      },
      finish: async (expected) => await writer.finish(expected),
      abort: async () => await writer.abort(),
      [Symbol.asyncDispose]: async () => await writer.abort(),
    };
  }

  async put(name: string, bytes: Uint8Array, options?: PutOptions): Promise<StoredObject> {
    this.transfer.requests += 1;
    this.transfer.bytesWritten += bytes.length;
    return await this.#storage.put(name, bytes, options);
  }

  async read(name: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    this.transfer.requests += 1;
    const bytes = await this.#storage.read(name, range, signal);
    this.transfer.bytesRead += bytes.length;
    return bytes;
  }

  async head(name: string, signal?: AbortSignal): Promise<StoredObject | null> {
    this.transfer.requests += 1;
    return await this.#storage.head(name, signal);
  }

  list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    this.transfer.requests += 1;
    return this.#storage.list(prefix, signal);
  }

  async delete(name: string, signal?: AbortSignal): Promise<void> {
    this.transfer.requests += 1;
    await this.#storage.delete(name, signal);
  }

  leftovers(signal?: AbortSignal): AsyncIterable<Leftover> {
    this.transfer.requests += 1;
    return this.#storage.leftovers(signal);
  }

  async deleteLeftover(name: string, signal?: AbortSignal): Promise<void> {
    this.transfer.requests += 1;
    await this.#storage.deleteLeftover(name, signal);
  }

  async freeSpaceBytes(): Promise<number | null> {
    return await this.#storage.freeSpaceBytes();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#storage[Symbol.asyncDispose]();
  }
}
