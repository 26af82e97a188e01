// What the main thread and a reader thread say to each other. Everything here survives structured clone.

import type { SerializedConnectionSettings } from "../postgres/index.ts";
import type { ChunkHashing, LargeObjectChunk, OfferedChunk, ReadChunk } from "./data-sink.ts";

/** How chunks are compressed: one zstd frame each, or not at all. */
export interface ChunkCompression {
  readonly algorithm: "zstd" | "none";
  readonly level: number;
}

/** What a reader does to the text it reads. */
export interface ChunkOptions {
  readonly hashing: ChunkHashing;
  readonly chunkSizeBytes: number;
  readonly compression: ChunkCompression;
  /** Whether small large objects share a chunk. */
  readonly sharesLargeObjectChunks: boolean;
}

/** A reader thread's workerData. */
export interface ReaderThreadOptions {
  readonly settings: SerializedConnectionSettings;
  /** Statements that put the session into the snapshot with pg_dump's settings, one byte a character, in order. */
  readonly setupStatements: readonly string[];
  readonly chunks: ChunkOptions;
}

/** Read one statement's COPY text. */
export interface ReadTask {
  readonly kind: "copy";
  readonly taskId: number;
  /** One byte a character. */
  readonly statement: string;
  /** The quoted relation to lock first, unless this reader has it locked already; null: no lock. */
  readonly lockName: string | null;
  /** 32-byte ids, one after another, of chunks that the sink has: they come back without a frame. */
  readonly knownIds: Uint8Array | null;
  /** The parent's chunks of the same segment, for deltas to lean on; null: no deltas. */
  readonly offered: readonly OfferedChunk[] | null;
}

/** Read large objects. */
export interface LargeObjectTask {
  readonly kind: "large-objects";
  readonly taskId: number;
  readonly oids: readonly number[];
  readonly knownIds: Uint8Array | null;
}

export type ReaderTask = ReadTask | LargeObjectTask;

export type ToReader =
  | { readonly type: "task"; readonly task: ReaderTask }
  /** Allows the reader one more chunk in flight. */
  | { readonly type: "credit" }
  /** What was asked for with "base-wanted"; null: it cannot be had. */
  | { readonly type: "base"; readonly requestId: number; readonly plaintext: Uint8Array | null }
  | { readonly type: "stop" };

/** An error as it crosses threads. */
export interface TransferredError {
  readonly message: string;
  readonly code: string | null;
  readonly sqlState: string | null;
  readonly detail: string | null;
  readonly hint: string | null;
}

export type FromReader =
  | { readonly type: "ready" }
  | { readonly type: "chunk"; readonly taskId: number; readonly chunk: ReadChunk }
  | { readonly type: "large-objects"; readonly taskId: number; readonly piece: LargeObjectChunk }
  /** Asks for the base of an offered chunk; answered out of turn. */
  | { readonly type: "base-wanted"; readonly requestId: number; readonly taskId: number; readonly offeredIndex: number }
  | { readonly type: "done"; readonly taskId: number; readonly rowCount: number }
  /** Somebody's ACCESS EXCLUSIVE is queued: this table must be read on the holder. */
  | { readonly type: "lock-refused"; readonly taskId: number }
  | { readonly type: "failed"; readonly taskId: number | null; readonly error: TransferredError };
