// A socket whose reads go straight into the caller's memory (Node's `onread`), fit for connectAuthenticated().
//
// The login reads by 'data' events, which a socket with `onread` does not emit. So until divert() it reads into a small
// buffer of its own and emits each piece as a copy. Node asks for the next buffer before it knows that divert() came:
// the first read after it still lands in the small buffer, and is handed on by copying.
// TLS takes the bytes below this level: with `isTls` read the connection's socket by 'data' events instead.

import { Socket } from "node:net";
import { assert } from "../base/assert.ts";

const LOGIN_BUFFER_BYTES = 16 * 1024;

/** Where diverted bytes go. */
export interface DirectReader {
  /** Memory for the next read, at least one byte. */
  reserve(): Uint8Array;
  /** The first `lengthBytes` of what reserve() gave were written; false stops reading until socket.resume(). */
  advance(lengthBytes: number): boolean;
}

/** Give `socket` to connectAuthenticated() by createSocket, then call divert(), then socket.resume(). */
export class DirectReadSocket {
  readonly socket: Socket;
  readonly #loginBuffer = Buffer.allocUnsafeSlow(LOGIN_BUFFER_BYTES);
  #reader: DirectReader | null = null;

  constructor() {
    const onread = {
      buffer: (): Uint8Array => this.#reader?.reserve() ?? this.#loginBuffer,
      callback: (lengthBytes: number, buffer: Uint8Array): boolean => this.#receive(lengthBytes, buffer),
    };
    this.socket = new Socket({ onread });
  }

  /** From now on bytes go to the reader. Only for a connection without TLS, while the socket is paused. */
  divert(reader: DirectReader): void {
    assert(this.#reader === null, "divert() called twice");
    this.#reader = reader;
    const early: unknown = this.socket.read();
    if (early instanceof Uint8Array) this.#copy(reader, early);
  }

  #receive(lengthBytes: number, buffer: Uint8Array): boolean {
    if (this.#reader === null) {
      this.socket.emit("data", Buffer.from(buffer.subarray(0, lengthBytes)));
      return true;
    }
    if (buffer === this.#loginBuffer) return this.#copy(this.#reader, buffer.subarray(0, lengthBytes));
    return this.#reader.advance(lengthBytes);
  }

  #copy(reader: DirectReader, bytes: Uint8Array): boolean {
    let goesOn = true;
    for (let offset = 0; offset < bytes.length;) {
      const room = reader.reserve();
      const piece = bytes.subarray(offset, offset + room.length);
      room.set(piece);
      goesOn = reader.advance(piece.length) && goesOn;
      offset += piece.length;
    }
    return goesOn;
  }
}
