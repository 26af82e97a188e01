// Where the readers' chunks go: a repository, or one archive file. The sink is handed in, so that this room knows
// neither.

/** How a chunk's id is made: HMAC-SHA-256 with this secret, or plain SHA-256 when null. */
export type ChunkIdSecret = Uint8Array | null;

/** A chunk as a reader made it: a row-aligned piece of COPY text (or bytes of large objects). */
export interface ReadChunk {
  /** 32 bytes: hash of the kind prefix and the plaintext. */
  readonly id: Uint8Array;
  readonly rawLengthBytes: number;
  /** Rows that end in the chunk. */
  readonly rowCount: number;
  /** True when its last row goes on in the next chunk. */
  readonly continues: boolean;
  /** One zstd frame with checksum; null when the sink had said that it has the chunk with this id. */
  readonly frame: Uint8Array | null;
}
