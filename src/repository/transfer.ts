// Counts what goes over to the storage and back, for receipts and for tests of how little a restore reads.

import { ForwardingStorage } from "../storage/index.ts";
import type { ByteRange, Leftover, ObjectWriter, PutOptions, StoredObject } from "../storage/index.ts";

/** Requests and bytes since the repository was opened. */
export interface Transfer {
  requests: number;
  bytesRead: number;
  bytesWritten: number;
}

/** A storage that counts. */
export class CountingStorage extends ForwardingStorage {
  readonly transfer: Transfer = { requests: 0, bytesRead: 0, bytesWritten: 0 };

  override async openWriter(name: string, options?: PutOptions): Promise<ObjectWriter> {
    this.transfer.requests += 1;
    const writer = await this.inner.openWriter(name, options);
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

  override async put(name: string, bytes: Uint8Array, options?: PutOptions): Promise<StoredObject> {
    this.transfer.requests += 1;
    this.transfer.bytesWritten += bytes.length;
    return await this.inner.put(name, bytes, options);
  }

  override async read(name: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    this.transfer.requests += 1;
    const bytes = await this.inner.read(name, range, signal);
    this.transfer.bytesRead += bytes.length;
    return bytes;
  }

  override async head(name: string, signal?: AbortSignal): Promise<StoredObject | null> {
    this.transfer.requests += 1;
    return await this.inner.head(name, signal);
  }

  override list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    this.transfer.requests += 1;
    return this.inner.list(prefix, signal);
  }

  override async delete(name: string, signal?: AbortSignal): Promise<void> {
    this.transfer.requests += 1;
    await this.inner.delete(name, signal);
  }

  override leftovers(signal?: AbortSignal): AsyncIterable<Leftover> {
    this.transfer.requests += 1;
    return this.inner.leftovers(signal);
  }

  override async deleteLeftover(name: string, signal?: AbortSignal): Promise<void> {
    this.transfer.requests += 1;
    await this.inner.deleteLeftover(name, signal);
  }
}
