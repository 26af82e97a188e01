// Any storage with caps on bandwidth (--limit-upload, --limit-download). Counted are the bytes of objects, once each:
// not what a driver sends again, nor the requests themselves.

import { MIB } from "../base/units.ts";
import { ForwardingStorage } from "./forwarding-storage.ts";
import { RateLimit } from "./rate-limit.ts";
import type { RateClock } from "./rate-limit.ts";
import type { ByteRange, ObjectWriter, PutOptions, Storage, StoredObject } from "./storage.ts";

/** Larger reads and writes take their share in pieces, so that one does not hold up all others. */
const PIECE_BYTES_MAX = 1 * MIB;

/** Bytes per second; left out: no cap. */
export interface BandwidthLimits {
  readonly uploadBytesPerSecond?: number | undefined;
  readonly downloadBytesPerSecond?: number | undefined;
}

/** Caps a storage; without any cap it is given back as it is. */
export function limitStorage(storage: Storage, limits: BandwidthLimits, clock?: RateClock): Storage {
  const { downloadBytesPerSecond: download, uploadBytesPerSecond: upload } = limits;
  if (download === undefined && upload === undefined) return storage;
  const limitOf = (rate: number | undefined): RateLimit | null =>
    rate === undefined ? null : new RateLimit(rate, clock);
  return new LimitedStorage(storage, limitOf(upload), limitOf(download));
}

class LimitedStorage extends ForwardingStorage {
  readonly #upload: RateLimit | null;
  readonly #download: RateLimit | null;

  constructor(storage: Storage, upload: RateLimit | null, download: RateLimit | null) {
    super(storage);
    this.#upload = upload;
    this.#download = download;
  }

  override async openWriter(name: string, options?: PutOptions): Promise<ObjectWriter> {
    const writer = await this.inner.openWriter(name, options);
    return {
      write: async (bytes) => {
        await take(this.#upload, bytes.length, options?.signal);
        await writer.write(bytes);
      },
      finish: async (expected) => await writer.finish(expected),
      abort: async () => await writer.abort(),
      [Symbol.asyncDispose]: async () => await writer.abort(),
    };
  }

  override async put(name: string, bytes: Uint8Array, options?: PutOptions): Promise<StoredObject> {
    await take(this.#upload, bytes.length, options?.signal);
    return await this.inner.put(name, bytes, options);
  }

  override async read(name: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    if (range !== undefined) await take(this.#download, range.lengthBytes, signal);
    const bytes = await this.inner.read(name, range, signal);
    // How long a whole object is shows only now; whoever comes next waits for it.
    if (range === undefined) await take(this.#download, bytes.length, signal);
    return bytes;
  }
}

async function take(limit: RateLimit | null, count: number, signal: AbortSignal | undefined): Promise<void> {
  if (limit === null) return;
  for (let taken = 0; taken < count; taken += PIECE_BYTES_MAX) {
    await limit.take(Math.min(PIECE_BYTES_MAX, count - taken), signal);
  }
}
