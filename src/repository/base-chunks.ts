// Plaintexts of the chunks that deltas lean on. Neighbouring deltas often have the same base, so the last ones are kept.
// Memory: BYTES_KEPT_MAX, and the bases in use, whose memory is given back at once when the last user is done.

import { freeBuffer } from "../base/free-buffer.ts";
import { MIB } from "../base/units.ts";
import type { ChunkReference } from "./lists.ts";

const BYTES_KEPT_MAX = 16 * MIB;

interface Kept {
  readonly plaintext: Promise<Uint8Array>;
  readonly sizeBytes: number;
  userCount: number;
}

/** See the head of this file. */
export class BaseChunks {
  readonly #load: (base: ChunkReference) => Promise<Uint8Array>;
  /** The one used last stands last. */
  readonly #kept = new Map<string, Kept>();
  #keptBytes = 0;

  constructor(load: (base: ChunkReference) => Promise<Uint8Array>) {
    this.#load = load;
  }

  /** Works with a base's plaintext, which is nobody's afterwards. Throws what loading it throws. */
  async use<T>(base: ChunkReference, work: (plaintext: Uint8Array) => Promise<T>): Promise<T> {
    const key = keyOf(base);
    const kept = this.#kept.get(key) ?? this.#begin(key, base);
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    kept.userCount += 1;
    try {
      return await work(await kept.plaintext);
    } finally {
      kept.userCount -= 1;
      this.#drop();
      if (this.#kept.get(key) !== kept) free(kept);
    }
  }

  #begin(key: string, base: ChunkReference): Kept {
    const plaintext = this.#load(base);
    const kept = { plaintext, sizeBytes: base.rawLengthBytes, userCount: 0 };
    this.#keptBytes += kept.sizeBytes;
    plaintext.catch(() => this.#forget(key, kept));
    return kept;
  }

  #forget(key: string, kept: Kept): void {
    if (this.#kept.get(key) !== kept) return;
    this.#kept.delete(key);
    this.#keptBytes -= kept.sizeBytes;
  }

  #drop(): void {
    for (const [key, kept] of this.#kept) {
      if (this.#keptBytes <= BYTES_KEPT_MAX) return;
      this.#forget(key, kept);
      free(kept);
    }
  }
}

function free({ plaintext, userCount }: Kept): void {
  if (userCount === 0) void plaintext.then(freeBuffer, () => undefined);
}

/** All that a read is held against: a list that says something else of the same place is another base. */
function keyOf({ encoding, id, itemNumber, kind, lengthBytes, offset, pack, rawLengthBytes }: ChunkReference): string {
  const place = [pack, itemNumber, offset, lengthBytes, rawLengthBytes, kind, encoding].join("#");
  return `${place}#${Buffer.from(id).toString("hex")}`;
}
