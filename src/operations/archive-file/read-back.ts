// Reads a whole archive file again: its table of contents listed, every block decoded, rows counted.

import type { FileHandle } from "node:fs/promises";
import { createHash } from "node:crypto";

import { CustomArchiveReader, type RandomAccessSource } from "../../archive/index.ts";
import { OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";

const NEWLINE = 0x0a;
const HASH_READ_SIZE_BYTES = 4 * MIB;

/** A source over an open file. */
export async function fileSource(handle: FileHandle): Promise<RandomAccessSource> {
  const { size } = await handle.stat();
  return {
    sizeBytes: size,
    read: async (offset, length) => {
      const buffer = Buffer.allocUnsafe(length);
      const { bytesRead } = await handle.read(buffer, 0, length, offset);
      return buffer.subarray(0, bytesRead);
    },
  };
}

/** SHA-256 of the file, hex. */
export async function hashFile(handle: FileHandle, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(HASH_READ_SIZE_BYTES);
  for (let offset = 0; ;) {
    signal.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
    if (bytesRead === 0) return hash.digest("hex");
    hash.update(buffer.subarray(0, bytesRead));
    offset += bytesRead;
  }
}

export interface ReadBackResult {
  readonly entryCount: number;
  readonly rowCounts: ReadonlyMap<number, number>;
  readonly rowCount: number;
  readonly rawBytes: number;
  readonly largeObjectCount: number;
}

/** Decodes everything in the file. Throws "corrupt" or "archive_invalid" when it is not what was written. */
export async function readBackArchive(handle: FileHandle, signal: AbortSignal): Promise<ReadBackResult> {
  const reader = await CustomArchiveReader.open(await fileSource(handle), { signal });
  const rowCounts = new Map<number, number>();
  let rawBytes = 0;
  let largeObjectCount = 0;
  for (const entry of reader.toc.entries) {
    if (!entry.hadDumper) continue;
    if (entry.description === "BLOBS") {
      for await (const object of reader.largeObjects(entry, signal)) {
        largeObjectCount += 1;
        for await (const bytes of object.read(signal)) rawBytes += bytes.length;
      }
      continue;
    }
    let rowCount = 0;
    for await (const piece of reader.tableData(entry, signal)) {
      const text = await piece.load(signal);
      rawBytes += text.length;
      rowCount += countRows(text);
    }
    rowCounts.set(entry.dumpId, rowCount);
  }
  const rowCount = [...rowCounts.values()].reduce((sum, count) => sum + count, 0);
  return { entryCount: reader.toc.entries.length, rowCounts, rowCount, rawBytes, largeObjectCount };
}

/** What was counted while an archive was written. */
export interface WrittenCounts {
  readonly tables: readonly { readonly dumpId: number; readonly rowCount: number; readonly name: string }[];
  readonly largeObjectCount: number;
  readonly rawBytes: number;
}

/** Throws "corrupt" unless what was read back is what was counted while writing. */
export function compareCounts(written: WrittenCounts, found: ReadBackResult): void {
  for (const { dumpId, rowCount, name } of written.tables) {
    const count = found.rowCounts.get(dumpId) ?? 0;
    if (count !== rowCount) throw notAsWritten(`${count} rows of ${name}, ${rowCount} were read from it`);
  }
  const { largeObjectCount, rawBytes } = written;
  if (found.largeObjectCount !== largeObjectCount) {
    throw notAsWritten(`${found.largeObjectCount} large objects, the source has ${largeObjectCount}`);
  }
  if (found.rawBytes !== rawBytes) throw notAsWritten(`${found.rawBytes} bytes of data, ${rawBytes} were read`);
}

function notAsWritten(what: string): OperatingError {
  return new OperatingError("corrupt", `the archive holds ${what}`, {
    hint: "The file was removed. Memory or disk may be failing; please report this if it happens again.",
  });
}

/** In COPY text every newline byte ends a row. */
function countRows(text: Uint8Array): number {
  let count = 0;
  for (let at = text.indexOf(NEWLINE); at >= 0; at = text.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}
