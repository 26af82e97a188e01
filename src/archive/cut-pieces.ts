// From decoded COPY text to pieces that end at row ends, and without the end-of-data mark that pg_dump writes after
// the rows: backslash, dot, three newlines. A newline byte in COPY text is always a row end, in every encoding that a
// client may use. Source: pg_dump.c, dumpTableData_copy.

import { corruptData } from "./archive-errors.ts";
import type { DataPiece } from "./contents.ts";
import type { DecodedChunk } from "./decode-data.ts";
import { PIECE_TARGET_BYTES } from "./limits.ts";

/** What stands after the rows of a TABLE DATA entry with a COPY statement. */
export const END_OF_DATA_MARK: Uint8Array = Buffer.from("\\.\n\n\n", "latin1");

const NEWLINE = 0x0a;

/**
 * Passes chunks on, without the end-of-data mark if the data ends with one. `isRequired`: data without it was cut off,
 * and "corrupt" is thrown, naming `field`.
 */
export async function* withoutEndMark(
  chunks: AsyncIterable<DecodedChunk>,
  { isRequired = false, field = "data" }: { readonly isRequired?: boolean; readonly field?: string } = {},
): AsyncGenerator<DecodedChunk, void, void> {
  const queue: DecodedChunk[] = [];
  let queueBytes = 0;
  let lastByte = NEWLINE;
  for await (const chunk of chunks) {
    if (chunk.bytes.length === 0) continue;
    queue.push(chunk);
    queueBytes += chunk.bytes.length;
    for (let head = queue[0]; head !== undefined; head = queue[0]) {
      if (queueBytes - head.bytes.length < END_OF_DATA_MARK.length) break;
      queue.shift();
      queueBytes -= head.bytes.length;
      lastByte = head.bytes.at(-1) ?? lastByte;
      yield head;
    }
  }
  const only = queue[0];
  if (only === undefined && isRequired) throw corruptData(field, "its end is missing");
  if (only === undefined) return;
  const tail = queue.length === 1 ? only : { bytes: Buffer.concat(queue.map((chunk) => chunk.bytes)), frame: null };
  const markStart = tail.bytes.length - END_OF_DATA_MARK.length;
  const isMarked = markStart >= 0 && tail.bytes.subarray(markStart).equals(END_OF_DATA_MARK);
  const byteBefore = markStart > 0 ? tail.bytes[markStart - 1] : lastByte;
  const isWhole = isMarked && byteBefore === NEWLINE;
  if (!isWhole && isRequired) throw corruptData(field, "its end is missing");
  if (!isWhole) yield tail;
  else if (markStart > 0) yield { bytes: tail.bytes.subarray(0, markStart), frame: null };
}

/**
 * Passes INSERT statements on, and throws "corrupt", naming `field`, when their end is missing: two empty lines after the
 * last statement, or nothing else. Source: pg_dump.c, dumpTableData_insert, of 13 to 18.
 */
export async function* withEndOfInserts(
  chunks: AsyncIterable<DecodedChunk>,
  field: string,
): AsyncGenerator<DecodedChunk, void, void> {
  let end = "";
  let lengthBytes = 0;
  for await (const chunk of chunks) {
    lengthBytes += chunk.bytes.length;
    end = (end + chunk.bytes.toString("latin1", Math.max(0, chunk.bytes.length - 4))).slice(-4);
    yield chunk;
  }
  if (end !== ";\n\n\n" && !(lengthBytes === 2 && end === "\n\n")) throw corruptData(field, "its end is missing");
}

/**
 * Cuts text into pieces of about PIECE_TARGET_BYTES at row ends; a chunk that has its frame stays one piece. `isCopyText`:
 * its rows are counted.
 */
export async function* cutPieces(
  chunks: AsyncIterable<DecodedChunk>,
  isCopyText: boolean,
): AsyncGenerator<DataPiece, void, void> {
  let held: Cut | null = null;
  for await (const cut of cuts(chunks)) {
    if (held !== null) yield toPiece(held, held.bytes.at(-1) !== NEWLINE, isCopyText);
    held = cut;
  }
  if (held !== null) yield toPiece(held, false, isCopyText);
}

type Cut = DecodedChunk;

async function* cuts(chunks: AsyncIterable<DecodedChunk>): AsyncGenerator<Cut, void, void> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  for await (const chunk of chunks) {
    if (chunk.bytes.length === 0) continue;
    if (chunk.frame !== null) {
      if (pendingBytes > 0) yield { bytes: Buffer.concat(pending, pendingBytes), frame: null };
      pending = [];
      pendingBytes = 0;
      yield chunk;
      continue;
    }
    pending.push(chunk.bytes);
    pendingBytes += chunk.bytes.length;
    if (pendingBytes < PIECE_TARGET_BYTES) continue;
    const bytes = Buffer.concat(pending, pendingBytes);
    // No row end in sight: a long row, which runs over several pieces.
    const end = bytes.lastIndexOf(NEWLINE) + 1 || bytes.length;
    yield { bytes: bytes.subarray(0, end), frame: null };
    // A copy, because the piece's buffer is its receiver's.
    const rest = Buffer.from(bytes.subarray(end));
    pending = rest.length > 0 ? [rest] : [];
    pendingBytes = rest.length;
  }
  if (pendingBytes > 0) yield { bytes: Buffer.concat(pending, pendingBytes), frame: null };
}

function countRows(text: Buffer): number {
  let count = 0;
  for (let at = text.indexOf(NEWLINE); at >= 0; at = text.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}

function toPiece({ bytes, frame }: Cut, continues: boolean, isCopyText: boolean): DataPiece {
  return {
    rawLengthBytes: bytes.length,
    rowCount: isCopyText ? countRows(bytes) : null,
    continues,
    load: async () => bytes,
    loadFrame: async () => (frame === null ? { encoding: "none", bytes } : { encoding: "zstd", bytes: frame }),
  };
}
