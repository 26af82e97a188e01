// Cuts a byte stream into messages of the PostgreSQL protocol 3 (either direction, after the startup packet), however
// the stream is split. Source: PostgreSQL manual, "Message Formats".
//
//   offset  size  content
//   0       1     type
//   1       4     length, big-endian, counts itself but not the type
//   5       …     payload

import { OperatingError } from "../base/errors.ts";
import { GIB, MIB } from "../base/units.ts";

/** Longest message taken from a server: a field of 1 GiB and what stands around it. */
export const MESSAGE_SIZE_BYTES_MAX = GIB + MIB;

const HEADER_SIZE_BYTES = 5;
const FIRST_ALLOCATION_BYTES_MAX = MIB;
const COPY_DATA = 0x64;
const EMPTY = new Uint8Array(0);

/** One message, or with `streamsCopyData` one piece of a CopyData message. */
export interface Message {
  /** The type's byte, e.g. 0x5a for ReadyForQuery. */
  readonly type: number;
  /** A view that stays valid: of the bytes pushed, or of a buffer of its own when the message was split. */
  readonly payload: Uint8Array;
}

/** Feed it with push(), then take messages until next() gives null. */
export class MessageReader {
  /** When true, the payload of CopyData comes in pieces as it arrives, so that a row of any length needs no memory. */
  streamsCopyData = false;
  readonly #sizeBytesMax: number;
  #input: Uint8Array = EMPTY;
  #offset = 0;
  readonly #header = new Uint8Array(HEADER_SIZE_BYTES);
  #headerFill = 0;
  #body: Uint8Array | null = null;
  #bodyFill = 0;
  #bodyLength = 0;
  #streamedRemaining = 0;

  constructor(sizeBytesMax: number = MESSAGE_SIZE_BYTES_MAX) {
    this.#sizeBytesMax = sizeBytesMax;
  }

  /** Adds bytes; they must not be overwritten while messages made of them are in use. */
  push(bytes: Uint8Array): void {
    if (this.#offset === this.#input.length) {
      this.#input = bytes;
    } else {
      this.#input = Buffer.concat([this.#input.subarray(this.#offset), bytes]);
    }
    this.#offset = 0;
  }

  /** The next complete message, or null when more bytes are needed. Throws "connection_lost" for an impossible length. */
  next(): Message | null {
    if (this.#streamedRemaining > 0) return this.#nextPiece();
    if (this.#body === null) {
      if (!this.#readHeader()) return null;
      const length = this.#bodyLength;
      if (this.streamsCopyData && this.#header[0] === COPY_DATA) {
        this.#headerFill = 0;
        this.#streamedRemaining = length;
        return length === 0 ? { type: COPY_DATA, payload: EMPTY } : this.#nextPiece();
      }
      if (this.#input.length - this.#offset >= length) {
        const payload = this.#input.subarray(this.#offset, this.#offset + length);
        this.#offset += length;
        return this.#finish(payload);
      }
      this.#body = Buffer.allocUnsafe(Math.min(length, FIRST_ALLOCATION_BYTES_MAX));
      this.#bodyFill = 0;
    }
    return this.#fillBody();
  }

  /** Every message that is complete. */
  *messages(): Generator<Message> {
    for (let message = this.next(); message !== null; message = this.next()) yield message;
  }

  /** Takes back the bytes that were pushed and belong to no message given out yet. */
  takeRest(): Uint8Array {
    const parts = [
      this.#header.subarray(0, this.#headerFill),
      this.#body?.subarray(0, this.#bodyFill) ?? EMPTY,
      this.#input.subarray(this.#offset),
    ];
    this.#headerFill = 0;
    this.#body = null;
    this.#input = EMPTY;
    this.#offset = 0;
    return Buffer.concat(parts);
  }

  #readHeader(): boolean {
    while (this.#headerFill < HEADER_SIZE_BYTES) {
      if (this.#offset === this.#input.length) return false;
      this.#header[this.#headerFill++] = this.#input[this.#offset++] as number;
    }
    const length = new DataView(this.#header.buffer).getUint32(1);
    if (length < 4 || length > this.#sizeBytesMax) {
      throw new OperatingError(
        "connection_lost",
        `the peer sent a message with an impossible length of ${length} bytes`,
        {
          detail: `The type is 0x${(this.#header[0] as number).toString(16)}; the limit is ${this.#sizeBytesMax} bytes.`,
          hint: "Is the port that of a PostgreSQL server? Else the connection got out of step: try again.",
        },
      );
    }
    this.#bodyLength = length - 4;
    return true;
  }

  #nextPiece(): Message | null {
    const length = Math.min(this.#streamedRemaining, this.#input.length - this.#offset);
    if (length === 0) return null;
    const payload = this.#input.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    this.#streamedRemaining -= length;
    return { type: COPY_DATA, payload };
  }

  #fillBody(): Message | null {
    let body = this.#body as Uint8Array;
    const count = Math.min(this.#bodyLength - this.#bodyFill, this.#input.length - this.#offset);
    if (this.#bodyFill + count > body.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.#bodyLength, Math.max(body.length * 2, this.#bodyFill + count)));
      grown.set(body.subarray(0, this.#bodyFill));
      body = grown;
      this.#body = grown;
    }
    body.set(this.#input.subarray(this.#offset, this.#offset + count), this.#bodyFill);
    this.#offset += count;
    this.#bodyFill += count;
    if (this.#bodyFill < this.#bodyLength) return null;
    this.#body = null;
    return this.#finish(body);
  }

  #finish(payload: Uint8Array): Message {
    this.#headerFill = 0;
    return { type: this.#header[0] as number, payload };
  }
}
