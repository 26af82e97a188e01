// Turns the bytes of a COPY OUT answer, as they come from the socket, into chunks of COPY text. The socket writes
// straight into the assembler's buffer; the five-byte CopyData headers between the rows are squeezed out in place.
// Chunks are cut at row ends as chunk-borders.ts says, whatever the reads were, so that the same rows always give the
// same chunks. A row that would make a chunk larger than twice the chunk size is split at exact chunk
// sizes, its pieces marked as continuing; a chunk that has its size already ends before it. Messages that are not CopyData are handed out as they are.
// Source: PostgreSQL manual, "Message Formats", CopyData.

import { assert } from "../base/assert.ts";
import { KIB } from "../base/units.ts";
import { ChunkBorders } from "./chunk-borders.ts";

/** Room that a socket read always finds. */
const READ_SIZE_BYTES_MIN = 64 * KIB;
const HEADER_SIZE_BYTES = 5;
const MESSAGE_COPY_DATA = 0x64; // d
/** Errors and notices are short; a longer one is refused. */
const OTHER_MESSAGE_SIZE_BYTES_MAX = 16 * 1024 * KIB;

export interface AssemblerEvents {
  /** A finished chunk. The view is valid only during the call. */
  chunk(text: Uint8Array, rowCount: number, continues: boolean): void;
  /** A message other than CopyData. */
  message(type: number, payload: Uint8Array): void;
}

export class CopyAssembler {
  readonly #chunkSizeBytes: number;
  readonly #events: AssemblerEvents;
  readonly #buffer: Buffer;
  /** [0, textEnd) is COPY text; [scan, rawEnd) is what came from the socket and is not looked at yet. */
  #textEnd = 0;
  #scan = 0;
  #rawEnd = 0;
  #rowCount = 0;
  readonly #borders: ChunkBorders;
  /** Where the present row begins, as far as it is in the buffer. */
  #rowStart = 0;
  /** Payload bytes of the current row still to come, and whether it is being split. */
  #rowRemaining = 0;
  #splitting = false;
  /** A message that is not CopyData, being gathered. */
  #other: { type: number; payload: Buffer; filled: number } | null = null;

  constructor(chunkSizeBytes: number, events: AssemblerEvents) {
    this.#chunkSizeBytes = chunkSizeBytes;
    this.#events = events;
    this.#borders = new ChunkBorders(chunkSizeBytes);
    this.#buffer = Buffer.allocUnsafeSlow(2 * chunkSizeBytes + 4 * READ_SIZE_BYTES_MIN);
  }

  /** Where the next bytes from the socket go; at least READ_SIZE_BYTES_MIN long. */
  reserve(): Uint8Array {
    if (this.#scan === this.#rawEnd) {
      this.#scan = this.#textEnd;
      this.#rawEnd = this.#textEnd;
    } else if (this.#buffer.length - this.#rawEnd < READ_SIZE_BYTES_MIN) {
      this.#compact();
    }
    assert(this.#buffer.length - this.#rawEnd >= READ_SIZE_BYTES_MIN, "the assembler has room for a read");
    return this.#buffer.subarray(this.#rawEnd);
  }

  /** Says that the socket wrote this many bytes at the start of what reserve() gave. */
  advance(lengthBytes: number): void {
    this.#rawEnd += lengthBytes;
    while (this.#scan < this.#rawEnd) {
      if (this.#rowRemaining > 0) this.#takeRowBytes();
      else if (this.#other !== null) this.#takeOtherBytes();
      else if (!this.#takeHeader()) return;
    }
  }

  /** Gives out what is left as the last chunk; nothing when there is no text. */
  finish(): void {
    assert(this.#rowRemaining === 0, "COPY ends at the end of a row");
    if (this.#textEnd > 0) this.#cut(false);
    this.#borders.restart();
  }

  #takeHeader(): boolean {
    const available = this.#rawEnd - this.#scan;
    if (available < HEADER_SIZE_BYTES) return false;
    const buffer = this.#buffer;
    const at = this.#scan;
    const lengthBytes = buffer.readUInt32BE(at + 1) - 4;
    assert(lengthBytes >= 0, "a message has a length");
    this.#scan = at + HEADER_SIZE_BYTES;
    if (buffer[at] === MESSAGE_COPY_DATA) {
      this.#rowRemaining = lengthBytes;
      this.#rowStart = this.#textEnd;
      this.#splitting = this.#textEnd + lengthBytes > 2 * this.#chunkSizeBytes;
      if (lengthBytes === 0) this.#rowCount += 1;
    } else {
      assert(lengthBytes <= OTHER_MESSAGE_SIZE_BYTES_MAX, `a message of ${lengthBytes} bytes is out of range`);
      this.#other = { type: buffer[at]!, payload: Buffer.allocUnsafe(lengthBytes), filled: 0 };
      if (lengthBytes === 0) this.#takeOtherBytes();
    }
    return true;
  }

  #takeRowBytes(): void {
    let taken = Math.min(this.#rowRemaining, this.#rawEnd - this.#scan);
    if (this.#splitting) taken = Math.min(taken, Math.max(0, this.#chunkSizeBytes - this.#textEnd));
    if (taken > 0) {
      if (this.#scan !== this.#textEnd) this.#buffer.copyWithin(this.#textEnd, this.#scan, this.#scan + taken);
      this.#textEnd += taken;
      this.#scan += taken;
      this.#rowRemaining -= taken;
    }
    if (this.#rowRemaining === 0) {
      this.#rowCount += 1;
      this.#splitting = false;
      const { minBytes } = this.#borders;
      if (this.#textEnd >= minBytes && this.#borders.endsAt(this.#buffer, this.#rowStart, this.#textEnd))
        this.#cut(false);
    } else if (this.#splitting && this.#textEnd >= this.#chunkSizeBytes) {
      this.#cut(this.#rowStart < this.#textEnd); // false: nothing of the row is in the chunk yet
    }
  }

  #takeOtherBytes(): void {
    const other = this.#other!;
    const taken = Math.min(other.payload.length - other.filled, this.#rawEnd - this.#scan);
    this.#buffer.copy(other.payload, other.filled, this.#scan, this.#scan + taken);
    other.filled += taken;
    this.#scan += taken;
    if (other.filled < other.payload.length) return;
    this.#other = null;
    this.#events.message(other.type, other.payload);
  }

  #cut(continues: boolean): void {
    this.#events.chunk(this.#buffer.subarray(0, this.#textEnd), this.#rowCount, continues);
    this.#borders.passed();
    this.#textEnd = 0;
    this.#rowStart = 0;
    this.#rowCount = 0;
    this.#compact();
  }

  /** Moves what came from the socket and is not looked at yet to just behind the text. */
  #compact(): void {
    if (this.#scan === this.#textEnd) return;
    this.#buffer.copyWithin(this.#textEnd, this.#scan, this.#rawEnd);
    this.#rawEnd = this.#textEnd + (this.#rawEnd - this.#scan);
    this.#scan = this.#textEnd;
  }
}
