// What every writer of archives does: the data of each entry, one after another, in the order of the table of contents.

import type { TocEntry } from "./toc.ts";

/** An archive being written. Calls follow one another: begin, frames or plain bytes, end. */
export interface ArchiveWriter {
  /** `lengthBytes`: of the rows; a tar archive must be told, others do not ask. */
  beginTableData(entry: TocEntry, lengthBytes?: number): Promise<void>;
  /**
   * Writes one or more whole zstd frames, where the archive is compressed with zstd, or plain bytes, where it is not.
   * `isGiven`: nobody else uses the buffer again.
   */
  writeFrame(bytes: Uint8Array, isGiven?: boolean): Promise<void>;
  /** Compresses plain bytes as the archive says, and writes them. */
  writePlain(bytes: Uint8Array): Promise<void>;
  endTableData(): Promise<void>;
  beginLargeObjects(entry: TocEntry): Promise<void>;
  /** `lengthBytes` as with rows. */
  beginLargeObject(oid: number, lengthBytes?: number): Promise<void>;
  endLargeObject(): Promise<void>;
  endLargeObjects(): Promise<void>;
  /** All entries with data must have been written. */
  finish(): Promise<void>;
}
