// What every source of archived data offers to restore and export: a table of contents and, entry by entry, its data
// in pieces. A restore point of a repository and an archive file both give it.

import type { TocEntry, Toc } from "./toc.ts";

/** One zstd frame or one run of plain bytes, as stored. */
export interface StoredFrame {
  readonly encoding: "zstd" | "none";
  readonly bytes: Uint8Array;
}

/**
 * A piece of a table's COPY text. Pieces stand in the order of the table. A piece ends at a row end unless
 * `continues` is true: then the row goes on in the next piece, and both must go to the same COPY.
 */
export interface DataPiece {
  readonly rawLengthBytes: number;
  /** Rows that end in this piece; null when the source does not know (INSERT commands in an archive). */
  readonly rowCount: number | null;
  readonly continues: boolean;
  /** The COPY text, checked. The buffer belongs to the caller. */
  load(signal?: AbortSignal): Promise<Uint8Array>;
  /** The stored form, checked as far as its storage can; decoding it gives exactly what load() gives. */
  loadFrame(signal?: AbortSignal): Promise<StoredFrame>;
}

/** A large object of a BLOBS entry. */
export interface LargeObjectPiece {
  readonly oid: number;
  /** Null when the source does not know before reading. */
  readonly lengthBytes: number | null;
  /** The contents in order, in buffers of at most a few MiB. */
  read(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/** Readable contents of an archive or restore point. Iterations are independent of one another unless it says otherwise. */
export interface ArchiveContents {
  readonly toc: Toc;
  /** The data of a TABLE DATA entry. Throws OperatingError "corrupt" when it is not what was written. */
  tableData(entry: TocEntry, signal?: AbortSignal): AsyncIterable<DataPiece>;
  /** The large objects of a BLOBS entry, in its order. */
  largeObjects(entry: TocEntry, signal?: AbortSignal): AsyncIterable<LargeObjectPiece>;
  /** False when data can be read only once, from front to back (a pipe). */
  readonly isSeekable: boolean;
}
