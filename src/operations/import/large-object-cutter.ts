// Cuts large objects as a backup's readers do: those shorter than a chunk share one, others have chunks of their own of
// exactly the chunk size and a last one that is shorter. Only neighbours share: objects of one entry whose OIDs are alike
// in all but the last ten bits.

import type { LargeObjectBucket } from "../../dump/index.ts";
import type { ChunkReference } from "../../repository/index.ts";
import type { LargeObjectSets } from "../backup/large-object-sets.ts";
import { CHUNK_SIZE_BYTES, ChunkStorer, type StorerOptions } from "./chunk-storer.ts";

const BUCKET_BITS = 10;

type Members = readonly { readonly oid: number; readonly lengthBytes: number }[];

export class LargeObjectCutter {
  readonly #sets: LargeObjectSets;
  readonly #storer: ChunkStorer;
  /** What the chunks that are being stored hold, in their order. */
  readonly #stored: { readonly bucket: LargeObjectBucket; readonly members: Members }[] = [];
  readonly #piece = Buffer.allocUnsafeSlow(CHUNK_SIZE_BYTES);
  #pieceBytes = 0;
  #bucket: LargeObjectBucket | null = null;
  #bucketCount = 0;
  #oid = 0;
  #isLong = false;
  #shared: {
    readonly texts: Uint8Array[];
    readonly members: { oid: number; lengthBytes: number }[];
    lengthBytes: number;
  } = {
    texts: [],
    members: [],
    lengthBytes: 0,
  };

  constructor(sets: LargeObjectSets, options: Pick<StorerOptions, "run" | "secret" | "known">) {
    this.#sets = sets;
    this.#storer = new ChunkStorer({ ...options, kind: "large-objects", onStored: (chunk) => this.#onStored(chunk) });
  }

  async begin(dumpId: number, oid: number): Promise<void> {
    const bucket = this.#bucket;
    if (bucket === null || bucket.dumpId !== dumpId || bucket.oids[0]! >>> BUCKET_BITS !== oid >>> BUCKET_BITS) {
      await this.#endBucket();
      this.#bucket = { dumpId, bucketIndex: this.#bucketCount++, oids: [oid] };
    }
    this.#oid = oid;
    this.#isLong = false;
    this.#pieceBytes = 0;
  }

  async push(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const taken = Math.min(bytes.length - at, CHUNK_SIZE_BYTES - this.#pieceBytes);
      this.#piece.set(bytes.subarray(at, at + taken), this.#pieceBytes);
      this.#pieceBytes += taken;
      at += taken;
      if (this.#pieceBytes < CHUNK_SIZE_BYTES) continue;
      if (!this.#isLong) await this.#endShared();
      this.#isLong = true;
      await this.#storePiece(true);
    }
  }

  async end(): Promise<void> {
    if (this.#isLong) return await this.#storePiece(false);
    const text = Uint8Array.from(this.#piece.subarray(0, this.#pieceBytes));
    if (this.#shared.lengthBytes + text.length > CHUNK_SIZE_BYTES) await this.#endShared();
    this.#shared.texts.push(text);
    this.#shared.members.push({ oid: this.#oid, lengthBytes: text.length });
    this.#shared.lengthBytes += text.length;
  }

  async finish(): Promise<void> {
    await this.#endBucket();
    await this.#storer.finish();
  }

  async #storePiece(continues: boolean): Promise<void> {
    const text = Uint8Array.from(this.#piece.subarray(0, this.#pieceBytes));
    this.#pieceBytes = 0;
    await this.#store([{ oid: this.#oid, lengthBytes: text.length }], text, continues);
  }

  async #endShared(): Promise<void> {
    const { members, texts } = this.#shared;
    if (members.length === 0) return;
    this.#shared = { texts: [], members: [], lengthBytes: 0 };
    await this.#store(members, Buffer.concat(texts), false);
  }

  async #endBucket(): Promise<void> {
    const bucket = this.#bucket;
    if (bucket === null) return;
    await this.#endShared();
    await this.#storer.finish();
    await this.#sets.endBucket(bucket);
    this.#bucket = null;
  }

  async #store(members: Members, text: Uint8Array, continues: boolean): Promise<void> {
    this.#stored.push({ bucket: this.#bucket!, members });
    await this.#storer.add({ text, rowCount: 0, continues });
  }

  #onStored(chunk: ChunkReference): void {
    const { bucket, members } = this.#stored.shift()!;
    this.#sets.addChunk(bucket, members, chunk);
  }
}
