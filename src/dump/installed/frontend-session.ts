// The server's part of one connection of an installed pg_dump: start-up, then each message to the relay in turn.
// Limits: start-up packet 10,000 bytes as in PostgreSQL, messages RELAY_MESSAGE_SIZE_BYTES_MAX.
// Source: PostgreSQL manual, "Message Formats"; postmaster.c, ProcessStartupPacket.

import type { Socket } from "node:net";

import { OperatingError } from "../../base/errors.ts";
import { BACKEND, cancelRequest, encodeMessage, FRONTEND } from "../../postgres/index.ts";
import type { Relay } from "../relay.ts";
import { RELAY_MESSAGE_SIZE_BYTES_MAX } from "../relay.ts";

const STARTUP_SIZE_BYTES_MAX = 10_000;
const CODE_CANCEL = 80877102;
const CODE_SSL = 80877103;
const CODE_GSS = 80877104;

/** Serves one connection until pg_dump closes it. */
export class FrontendSession {
  readonly #socket: Socket;
  readonly #relay: Relay;
  readonly #onFailure: (error: Error) => void;
  #pending: Buffer = Buffer.alloc(0);
  #started = false;
  #busy = false;

  constructor(socket: Socket, relay: Relay, onFailure: (error: Error) => void) {
    this.#socket = socket;
    this.#relay = relay;
    this.#onFailure = onFailure;
  }

  start(): void {
    this.#socket.on("error", () => this.#socket.destroy());
    this.#socket.on("data", (bytes: Buffer) => {
      this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
      this.#run();
    });
  }

  #run(): void {
    if (this.#busy) return;
    this.#busy = true;
    this.#serve().then(
      () => {
        this.#busy = false;
      },
      (error: Error) => {
        this.#onFailure(error);
        this.#socket.destroy();
      },
    );
  }

  async #serve(): Promise<void> {
    while (true) {
      const message = this.#started ? this.#takeMessage() : this.#takeStartup();
      if (message === null) return;
      if (!this.#started) await this.#startUp(message);
      else if (message[0] === FRONTEND.terminate) this.#socket.end();
      else await this.#relay.exchange(message, (bytes) => this.#socket.write(bytes));
    }
  }

  #takeStartup(): Buffer | null {
    if (this.#pending.length < 8) return null;
    const lengthBytes = this.#pending.readUInt32BE(0);
    if (lengthBytes < 8 || lengthBytes > STARTUP_SIZE_BYTES_MAX) throw invalidMessage(lengthBytes);
    return this.#take(lengthBytes);
  }

  #takeMessage(): Buffer | null {
    if (this.#pending.length < 5) return null;
    const lengthBytes = this.#pending.readUInt32BE(1);
    if (lengthBytes < 4 || lengthBytes > RELAY_MESSAGE_SIZE_BYTES_MAX) throw invalidMessage(lengthBytes);
    return this.#take(lengthBytes + 1);
  }

  #take(lengthBytes: number): Buffer | null {
    if (this.#pending.length < lengthBytes) return null;
    const taken = this.#pending.subarray(0, lengthBytes);
    this.#pending = this.#pending.subarray(lengthBytes);
    return taken;
  }

  async #startUp(packet: Buffer): Promise<void> {
    const code = packet.readUInt32BE(4);
    if (code === CODE_SSL || code === CODE_GSS) {
      this.#socket.write("N");
    } else if (code === CODE_CANCEL) {
      await cancelRequest(this.#relay.connection);
      this.#socket.end();
    } else {
      this.#started = true;
      this.#socket.write(this.#greeting());
    }
  }

  /** AuthenticationOk, ParameterStatus as the server gave them, a BackendKeyData of no meaning, ReadyForQuery. */
  #greeting(): Buffer {
    const parts: Uint8Array[] = [encodeMessage(BACKEND.authentication, Buffer.alloc(4))];
    for (const [name, value] of this.#relay.parameters) {
      parts.push(encodeMessage(BACKEND.parameterStatus, Buffer.from(`${name}\0${value}\0`)));
    }
    parts.push(
      encodeMessage(BACKEND.backendKeyData, Buffer.alloc(8)),
      encodeMessage(BACKEND.readyForQuery, Buffer.from("I")),
    );
    return Buffer.concat(parts);
  }
}

function invalidMessage(lengthBytes: number): OperatingError {
  return new OperatingError("pg_dump_failed", `pg_dump sent a message of ${lengthBytes} bytes, which is out of range`);
}
