// One SSH connection with one SFTP channel, as promises. When it breaks, or nothing is answered for too long while answers
// are due, all requests fail with an error that may be retried, and the connection is not used again.

import type { Socket } from "node:net";
import type { Client, SFTPWrapper } from "ssh2";
import { OperatingError } from "../../base/errors.ts";
import { KIB } from "../../base/units.ts";
import { openSsh } from "./open-ssh.ts";
import type { OpenSsh } from "./open-ssh.ts";
import { CONNECTION_HINT, connectionLost } from "./sftp-errors.ts";
import type { SftpLocation } from "./sftp-location.ts";

/** What a server may be silent for while it brings a file to its disk; all others wait behind that. */
export const SYNC_MS_MAX = 5 * 60_000;
/** A server that tells its limits takes so much at once (OpenSSH: 255 KiB); all take 32 KiB with what belongs to it. */
const PIECE_BYTES_LARGE = 240 * KIB;
const PIECE_BYTES_USUAL = 31 * KIB;

/** How long a server is given to take leave. */
const LEAVE_MS_MAX = 2000;

type Callback<T> = (error?: Error | null, value?: T) => void;

/** See the head of this file. */
export class SftpConnection {
  /** How much one request reads or writes. */
  readonly pieceBytes: number;
  readonly #client: Client;
  readonly #sftp: SFTPWrapper;
  readonly #socket: Socket;
  readonly #where: string;
  readonly #stallTimeoutMs: number;
  readonly #waiting = new Set<(error: OperatingError) => void>();
  #failure: OperatingError | null = null;
  #patientCount = 0;
  #answeredAtMs = 0;
  #stall: NodeJS.Timeout | null = null;

  /** Connects and logs in. Throws what openSsh() throws. */
  static async open(
    location: SftpLocation,
    environment: Readonly<Record<string, string | undefined>>,
    stallTimeoutMs: number,
  ): Promise<SftpConnection> {
    const opened = await openSsh(location, environment);
    return new SftpConnection(opened, location.host, stallTimeoutMs);
  }

  private constructor({ client, sftp, socket }: OpenSsh, where: string, stallTimeoutMs: number) {
    this.#client = client;
    this.#sftp = sftp;
    this.#socket = socket;
    this.#where = where;
    this.#stallTimeoutMs = stallTimeoutMs;
    // Only servers that tell their limits say how many handles they have.
    const { maxOpenHandles } = sftp as { readonly maxOpenHandles?: number };
    this.pieceBytes = maxOpenHandles === undefined ? PIECE_BYTES_USUAL : PIECE_BYTES_LARGE;
    client.on("error", (error) => this.#fail(connectionLost(where, error)));
    client.on("close", () => this.#fail(connectionLost(where)));
    for (const event of ["close", "end"]) sftp.on(event, () => this.#fail(connectionLost(where)));
    sftp.on("error", (error: Error) => this.#fail(connectionLost(where, error)));
    if (socket.destroyed) this.#fail(connectionLost(where));
  }

  get isOpen(): boolean {
    return this.#failure === null;
  }

  /** Sends a request; `isPatient`: the server may be at work for SYNC_MS_MAX before it answers. */
  async request<T>(send: (sftp: SFTPWrapper, done: Callback<T>) => void, isPatient = false): Promise<T> {
    if (this.#failure !== null) throw this.#failure;
    return await new Promise<T>((resolve, reject) => {
      const end = (): void => {
        this.#waiting.delete(onLost);
        if (isPatient) this.#patientCount -= 1;
        this.#answered();
      };
      const onLost = (error: OperatingError): void => {
        end();
        reject(error);
      };
      this.#waiting.add(onLost);
      if (isPatient) this.#patientCount += 1;
      this.#watch();
      const done: Callback<T> = (error, value) => {
        if (!this.#waiting.has(onLost)) return;
        if (isNoAnswer(error)) return onLost(connectionLost(this.#where, error));
        end();
        if (error) reject(error);
        else resolve(value as T);
      };
      try {
        send(this.#sftp, done);
      } catch (error) {
        end();
        // The library's word for an extension that the server does not have.
        reject(/does not support/.test(String(error)) ? unsupported(error) : error);
      }
    });
  }

  /** Ends the connection; what is under way fails with the reason. */
  close(reason?: OperatingError): void {
    this.#fail(reason ?? new OperatingError("storage_failed", "the storage was closed"));
  }

  #fail(error: OperatingError): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    for (const onLost of this.#waiting) onLost(error);
    if (this.#stall !== null) clearTimeout(this.#stall);
    this.#client.end();
    this.#socket.destroySoon();
    setTimeout(() => this.#socket.destroy(), LEAVE_MS_MAX).unref();
  }

  #answered(): void {
    this.#answeredAtMs = performance.now();
    if (this.#waiting.size > 0 || this.#stall === null) return;
    clearTimeout(this.#stall);
    this.#stall = null;
  }

  #watch(): void {
    if (this.#waiting.size === 1) this.#answeredAtMs = performance.now();
    this.#stall ??= setTimeout(() => this.#look(), this.#stallTimeoutMs);
  }

  #look(): void {
    this.#stall = null;
    const limitMs = this.#patientCount > 0 ? Math.max(SYNC_MS_MAX, this.#stallTimeoutMs) : this.#stallTimeoutMs;
    const silentMs = performance.now() - this.#answeredAtMs;
    if (silentMs < limitMs) {
      this.#stall = setTimeout(() => this.#look(), limitMs - silentMs);
      return;
    }
    const message = `${this.#where} has answered nothing for ${Math.round(silentMs / 1000)} s`;
    this.#fail(new OperatingError("stalled", message, { hint: CONNECTION_HINT, retryable: true }));
  }
}

function isNoAnswer(error: Error | null | undefined): boolean {
  return error instanceof Error && /^No response from server$/.test(error.message);
}

/** As a server answers that does not know the request. */
function unsupported(cause: unknown): Error {
  return Object.assign(new Error("Operation unsupported", { cause }), { code: 8 });
}
