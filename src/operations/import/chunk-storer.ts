// Makes chunks of plain text and stores them, several at once, in order: the same cuts and ids as a backup makes, so that
// equal rows are stored once.

import { compressFrame } from "../../archive/index.ts";
import { assert } from "../../base/assert.ts";
import { chunkId, type ChunkKind, type ChunkReference, type Run } from "../../repository/index.ts";
import type { KnownChunks } from "./known-chunks.ts";

/** As in a backup. */
export const CHUNK_SIZE_BYTES = 2 * 1024 * 1024;

/** Chunks that are compressed or stored at once. */
const UNDER_WAY_MAX = 4;

export interface ChunkText {
  /** A buffer of its own. */
  readonly text: Uint8Array;
  readonly rowCount: number;
  readonly continues: boolean;
}

export interface StorerOptions {
  readonly run: Run;
  readonly secret: Uint8Array | null;
  readonly kind: ChunkKind;
  readonly known: KnownChunks;
  /** Takes the chunks in the order in which they were added. */
  readonly onStored: (chunk: ChunkReference) => Promise<void> | void;
}

export class ChunkStorer {
  readonly #options: StorerOptions;
  readonly #underWay: Promise<ChunkReference>[] = [];

  constructor(options: StorerOptions) {
    this.#options = options;
  }

  async add(chunk: ChunkText): Promise<void> {
    if (this.#underWay.length >= UNDER_WAY_MAX) await this.#takeFirst();
    const storing = this.#store(chunk);
    storing.catch(() => {}); // its failure comes out when its turn comes
    this.#underWay.push(storing);
  }

  /** Everything added is stored. */
  async finish(): Promise<void> {
    while (this.#underWay.length > 0) await this.#takeFirst();
  }

  async #takeFirst(): Promise<void> {
    const first = this.#underWay.shift();
    if (first !== undefined) await this.#options.onStored(await first);
  }

  async #store({ text, rowCount, continues }: ChunkText): Promise<ChunkReference> {
    const { run, secret, kind, known } = this.#options;
    const id = chunkId(secret, kind, text);
    const reference = known.find(id);
    if (reference !== null) {
      assert(reference.rawLengthBytes === text.length, "equal ids mean equal lengths");
      return { ...reference, rowCount, continues };
    }
    const bytes = await compressFrame(text);
    const rawLengthBytes = text.length;
    return await run.storeChunk({ kind, id, rawLengthBytes, rowCount, continues, encoding: "zstd", bytes });
  }
}
