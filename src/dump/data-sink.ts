// Where the readers' chunks go: a repository, or one archive file. The sink is handed in, so that this room knows
// neither.

import type { TablePlan } from "./segment-plan.ts";

/**
 * How a chunk's id is made: HMAC-SHA-256 under the secret (SHA-256 without one) of prefix and plaintext. Null: the sink
 * wants no ids.
 */
export type ChunkHashing = {
  readonly secret: Uint8Array | null;
  readonly tablePrefix: Uint8Array;
  readonly largeObjectsPrefix: Uint8Array;
} | null;

/** A chunk as a reader made it: a row-aligned piece of COPY text, or contents of large objects. */
export interface ReadChunk {
  /** 32 bytes; empty when the sink wants no ids. */
  readonly id: Uint8Array;
  readonly rawLengthBytes: number;
  /** Rows that end in the chunk. */
  readonly rowCount: number;
  /** True when its last row, or its large object, goes on in the next chunk. */
  readonly continues: boolean;
  /** One frame, a buffer of its own; null when the sink had said that it has the chunk with this id. */
  readonly frame: Uint8Array | null;
  /** Null: the frame is a full one; else it is a delta that leans on the base of this offered chunk, by index. */
  readonly deltaOf: number | null;
}

/** The full chunk that a delta may lean on, in lengths. */
export interface BaseLengths {
  /** Of its frame as it is stored. */
  readonly frameLengthBytes: number;
  readonly rawLengthBytes: number;
}

/** A chunk that the sink has of the same segment, of an earlier state. */
export interface OfferedChunk {
  readonly id: Uint8Array;
  readonly rawLengthBytes: number;
  /** What a delta that is like it leans on: itself, or its own base; null: nothing. */
  readonly base: BaseLengths | null;
}

/** Contents of large objects: several small ones whole, one after another, or a piece of one. */
export interface LargeObjectChunk {
  readonly members: readonly { readonly oid: number; readonly lengthBytes: number }[];
  readonly chunk: ReadChunk;
}

/**
 * Takes what the readers read. Calls for one segment come in order and one at a time; those of different segments mix.
 * A call's promise is the back-pressure: while it is open, the reader sends little more.
 */
export interface DataSink {
  /**
   * True when the sink has taken the whole segment over, so that nobody reads it; asked in plan order, before anything
   * else of the segment. May wait for segments before it; the signal ends that.
   */
  takesOver(table: TablePlan, segmentIndex: number, signal: AbortSignal): Promise<boolean>;
  /** Ids (32 bytes each, one after another) of the chunks it has for this segment; asked once, in plan order. */
  knownTableChunks(table: TablePlan, segmentIndex: number): Promise<Uint8Array | null>;
  /** Chunks that deltas of this segment may lean on, in their order; asked after knownTableChunks(). Null, left out: no deltas. */
  offeredTableChunks?(table: TablePlan, segmentIndex: number): readonly OfferedChunk[] | null;
  /** Plaintext of the base of an offered chunk, in a buffer of its own; null: it cannot be had. Not waited for in turn. */
  loadBase?(table: TablePlan, segmentIndex: number, offeredIndex: number): Promise<Uint8Array | null>;
  tableChunk(table: TablePlan, segmentIndex: number, chunk: ReadChunk): Promise<void>;
  segmentDone(table: TablePlan, segmentIndex: number, rowCount: number): Promise<void>;
  /** As takesOver(), of the objects of a bucket; left out: none is. */
  takesOverLargeObjects?(bucket: LargeObjectBucket, signal: AbortSignal): Promise<boolean>;
  /** Ids of the chunks it has of objects in this bucket; asked once, in plan order. */
  knownLargeObjectChunks(bucket: LargeObjectBucket): Promise<Uint8Array | null>;
  largeObjectChunk(bucket: LargeObjectBucket, chunk: LargeObjectChunk): Promise<void>;
  largeObjectBucketDone(bucket: LargeObjectBucket): Promise<void>;
}

/** Large objects of one BLOBS entry whose OIDs are alike in all but the last ten bits, in ascending order. */
export interface LargeObjectBucket {
  readonly dumpId: number;
  /** Position among the buckets of the dump. */
  readonly bucketIndex: number;
  readonly oids: readonly number[];
}
