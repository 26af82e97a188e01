// A storage that hands every call on to another one. What stands around a storage extends it and says only what it does
// otherwise, so that nothing of the interface is forgotten.

import type { ByteRange, Leftover, ObjectWriter, PutOptions, Storage, StoredObject } from "./storage.ts";

/** See the head of this file. It owns the other storage. */
export class ForwardingStorage implements Storage {
  readonly description: string;
  protected readonly inner: Storage;

  constructor(inner: Storage) {
    this.inner = inner;
    this.description = inner.description;
  }

  get isLocal(): boolean {
    return this.inner.isLocal === true;
  }

  get isReadingCharged(): boolean {
    return this.inner.isReadingCharged === true;
  }

  get retryCount(): number {
    return this.inner.retryCount ?? 0;
  }

  async openWriter(name: string, options?: PutOptions): Promise<ObjectWriter> {
    return await this.inner.openWriter(name, options);
  }

  async put(name: string, bytes: Uint8Array, options?: PutOptions): Promise<StoredObject> {
    return await this.inner.put(name, bytes, options);
  }

  async read(name: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    return await this.inner.read(name, range, signal);
  }

  async head(name: string, signal?: AbortSignal): Promise<StoredObject | null> {
    return await this.inner.head(name, signal);
  }

  list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    return this.inner.list(prefix, signal);
  }

  async delete(name: string, signal?: AbortSignal): Promise<void> {
    await this.inner.delete(name, signal);
  }

  leftovers(signal?: AbortSignal): AsyncIterable<Leftover> {
    return this.inner.leftovers(signal);
  }

  async deleteLeftover(name: string, signal?: AbortSignal): Promise<void> {
    await this.inner.deleteLeftover(name, signal);
  }

  async freeSpaceBytes(): Promise<number | null> {
    return await this.inner.freeSpaceBytes();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.inner[Symbol.asyncDispose]();
  }
}
