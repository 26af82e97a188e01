// Cuts the bytes that libpq sends into messages: first untyped ones (encryption requests, StartupMessage), then typed.
// Source: PostgreSQL manual, "Message Formats".
//
//   untyped: int32 length (itself included), int32 code, payload
//   typed:   byte type, int32 length (itself included, the type not), payload

import { assert } from "../../base/assert.ts";

/** A message of the frontend; `bytes` is a copy of its own, whole with type byte and length. */
export type FrontendFrame =
  | { readonly kind: "encryption-request" }
  | { readonly kind: "startup" }
  | { readonly kind: "terminate" }
  | { readonly kind: "message"; readonly bytes: Uint8Array<ArrayBuffer> };

const ENCRYPTION_REQUEST_CODES: readonly number[] = [80877103, 80877104]; // SSLRequest, GSSENCRequest
const PROTOCOL_MAJOR = 3;
const STARTUP_LENGTH_MAX = 10_000; // MAX_STARTUP_PACKET_LENGTH of the server
const MESSAGE_LENGTH_MAX = 0x3fff_ffff; // the server's own bound on a query
const TYPE_TERMINATE = 0x58;

/** Keeps what is left of a message between pushes. */
export class FrontendFramer {
  #rest: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #isStarted = false;

  /** The messages that are complete with these bytes, in order. The bytes are copied. */
  push(bytes: Uint8Array): FrontendFrame[] {
    const joined = new Uint8Array(this.#rest.length + bytes.length);
    joined.set(this.#rest);
    joined.set(bytes, this.#rest.length);
    this.#rest = joined;
    const frames: FrontendFrame[] = [];
    for (let frame = this.#next(); frame !== null; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): FrontendFrame | null {
    const typeLength = this.#isStarted ? 1 : 0;
    if (this.#rest.length < typeLength + 4) return null;
    const view = new DataView(this.#rest.buffer, this.#rest.byteOffset, this.#rest.length);
    const length = view.getInt32(typeLength);
    assert(length >= (this.#isStarted ? 4 : 8), "a frontend message has at least its header");
    assert(length <= (this.#isStarted ? MESSAGE_LENGTH_MAX : STARTUP_LENGTH_MAX), "a frontend message is not too long");
    const end = typeLength + length;
    if (this.#rest.length < end) return null;
    const message = this.#rest.slice(0, end);
    this.#rest = this.#rest.subarray(end);
    return this.#isStarted ? typedFrame(message) : this.#untypedFrame(view.getInt32(4));
  }

  #untypedFrame(code: number): FrontendFrame {
    if (ENCRYPTION_REQUEST_CODES.includes(code)) return { kind: "encryption-request" };
    assert(code >> 16 === PROTOCOL_MAJOR, `the protocol is ${PROTOCOL_MAJOR}, not ${code >> 16}`);
    this.#isStarted = true;
    return { kind: "startup" };
  }
}

function typedFrame(bytes: Uint8Array<ArrayBuffer>): FrontendFrame {
  return bytes[0] === TYPE_TERMINATE ? { kind: "terminate" } : { kind: "message", bytes };
}
