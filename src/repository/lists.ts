// What a list of a restore point holds: where the data of a relation or of large objects lies. Data only.
// Source: docs/formats/repository.md §5.

import type { ChunkKind } from "./chunk-id.ts";
import type { ListSpan } from "./manifest.ts";
import type { Encoding } from "./sealing.ts";

/** Where a sealed chunk lies and what it holds. */
export interface ChunkReference {
  readonly kind: ChunkKind;
  /** 32 bytes. */
  readonly id: Uint8Array;
  readonly pack: string;
  readonly itemNumber: number;
  /** In the pack. */
  readonly offset: number;
  /** Sealed. */
  readonly lengthBytes: number;
  readonly rawLengthBytes: number;
  /** Rows that end in the chunk; 0 for large objects. */
  readonly rowCount: number;
  /** True when its last row goes on in the next chunk. */
  readonly continues: boolean;
  readonly encoding: Encoding;
  /** The chunk whose plaintext is a delta's dictionary, always a full one; null: this one is full. */
  readonly base: ChunkReference | null;
}

/** A block range of a relation and its chunks in order. A long one comes in several records. */
export interface SegmentRecord {
  readonly firstBlock: number;
  /** Null: to the end of the relation. */
  readonly blockCount: number | null;
  /** Rows that end in the chunks of this record. */
  readonly rowCount: number;
  readonly chunks: readonly ChunkReference[];
  /** True when the record belongs to the same segment as the one before it. */
  readonly continuesPrevious?: boolean;
}

/** Small large objects that lie in one chunk, one after another. */
export interface SharedLargeObjects {
  readonly kind: "shared";
  readonly chunk: ChunkReference;
  readonly objects: readonly { readonly oid: number; readonly lengthBytes: number }[];
}

/** A large object with chunks of its own. A long one comes in several records. */
export interface OwnLargeObject {
  readonly kind: "own";
  readonly oid: number;
  /** Bytes of the whole object; 0 in records that continue it. */
  readonly lengthBytes: number;
  readonly chunks: readonly ChunkReference[];
  readonly continuesPrevious?: boolean;
}

export type LargeObjectRecord = SharedLargeObjects | OwnLargeObject;

/** A finished list: its place and its sums. Goes into the manifest's record as it is. */
export interface FinishedList {
  readonly list: readonly ListSpan[];
  readonly rowCount: number;
  /** Large objects in the list; 0 for relations. */
  readonly objectCount: number;
  readonly rawBytes: number;
  readonly sealedBytes: number;
  readonly chunkCount: number;
  readonly reusedChunkCount: number;
  readonly reusedBytes: number;
  /** Deltas among the chunks; left out: none. */
  readonly deltaChunkCount?: number;
  /** Indexes into the manifest's packs. */
  readonly packs: readonly number[];
}
