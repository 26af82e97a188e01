// Writes one file: under a temporary name in its own folder, many requests on their way, synced, size compared, then named.
// When the connection breaks, what is not confirmed is sent again at its place over a new one. What the server confirmed
// before may be lost if it broke because the server died: then everything is read back and compared before the file is named.

import type { SFTPWrapper, Stats } from "ssh2";
import { OperatingError } from "../../base/errors.ts";
import { OngoingWrite } from "../ongoing-write.ts";
import type { ObjectWriter, StoredObject, WrittenContent } from "../storage.ts";
import { parentOf, syncFolder } from "./folders.ts";
import { isThere, Namer, newMarks, setModified, vanished } from "./give-name.ts";
import type { Naming } from "./give-name.ts";
import { hashFile, IN_FLIGHT_BYTES_MAX } from "./read-file.ts";
import type { SftpConnection } from "./sftp-connection.ts";
import { STATUS, statusOf } from "./sftp-errors.ts";
import type { SftpRequests, SftpWork } from "./sftp-requests.ts";
import { unlessMissing } from "./sftp-requests.ts";
import { writeFailure } from "./write-failure.ts";

const FILE_MODE = 0o600;
/** How a file is opened, as SSH_FXP_OPEN has it. Never emptied: the server may come late to a request that was given up. */
const OPEN = { create: 0x2a, createAgain: 0x0a, again: 0x02 } as const;
/** Tidying up after a failure must not take as long again as the failure did. */
const TIDYING_ATTEMPTS_MAX = 3;

/** A write of one object. */
export interface SftpWrite extends Omit<Naming, "marks"> {
  readonly name: string;
  readonly signal: AbortSignal | undefined;
}

interface OpenHandle {
  readonly connection: SftpConnection;
  readonly handle: Promise<Buffer>;
}

/** See the head of this file. */
export class SftpWriter implements ObjectWriter {
  readonly #requests: SftpRequests;
  readonly #write: SftpWrite;
  readonly #ongoing: OngoingWrite;
  readonly #inFlight = new Set<Promise<void>>();
  #gathered: Uint8Array[] = [];
  #gatheredBytes = 0;
  #inFlightBytes = 0;
  #sizeBytes = 0;
  #pieceBytes = 0;
  #handle: OpenHandle | null = null;
  /** Connections over which the file was written. */
  #connectionCount = 0;
  #naming: Naming | null = null;
  /** Goes on until the request that is on its way is answered, where the writer waits no longer. */
  #givingName: Promise<unknown> = Promise.resolve();
  #givingUp: Promise<void> | null = null;

  private constructor(requests: SftpRequests, write: SftpWrite) {
    this.#requests = requests;
    this.#write = write;
    this.#ongoing = new OngoingWrite(write);
  }

  /** Opens a writer; its folder is there already. */
  static async open(requests: SftpRequests, write: SftpWrite): Promise<SftpWriter> {
    const writer = new SftpWriter(requests, write);
    try {
      await writer.#run(async (connection, { number }) => {
        writer.#pieceBytes = connection.pieceBytes;
        await writer.#handleOn(connection, number === 1 ? "create" : "createAgain");
      });
      return writer;
    } catch (error) {
      await writer.abort();
      throw error;
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#ongoing.takeTurn(async () => await this.#append(bytes));
  }

  async finish(expected?: WrittenContent): Promise<StoredObject> {
    const last = async (): Promise<StoredObject> => {
      if (this.#gatheredBytes > 0) await this.#dispatch();
      await Promise.all(this.#inFlight);
      this.#ongoing.check();
      this.#confirmSize(this.#sizeBytes, expected);
      const naming = { ...this.#write, marks: newMarks(await this.#sync(expected)) };
      this.#naming = naming;
      const isMarked = await this.#run(async (connection, { number, signal }) => {
        const giving = new Namer(this.#requests, connection, naming, signal).give(number === 1);
        this.#givingName = giving;
        return await giving;
      });
      // It stands: whatever the signal says now, it is not taken away again, and its writer is told so.
      this.#ongoing.end();
      return await this.#settle(naming, isMarked, expected);
    };
    return await this.#ongoing.finish(last, async () => await this.#giveUp());
  }

  async abort(): Promise<void> {
    if (this.#ongoing.isOpen) await this.#giveUp();
  }

  async #giveUp(): Promise<void> {
    this.#ongoing.end();
    this.#givingUp ??= this.#drop();
    await this.#givingUp;
  }

  async #drop(): Promise<void> {
    await this.#ongoing.cancel();
    await Promise.allSettled([...this.#inFlight, this.#givingName]);
    this.#gathered = [];
    const facts = { action: `could not tidy up after "${this.#write.name}"`, attemptsMax: TIDYING_ATTEMPTS_MAX };
    // What cannot be removed now is named as a left-over.
    await this.#requests.run(facts, async (connection) => await this.#tidy(connection)).catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  async #run<T>(work: SftpWork<T>, sizeBytes = 0): Promise<T> {
    return await this.#requests.run({ action: this.#ongoing.action, sizeBytes, signal: this.#ongoing.signal }, work);
  }

  /** Cuts bytes into pieces; a full one goes on its way when there is room for it. */
  async #append(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      const piece = rest.subarray(0, this.#pieceBytes - this.#gatheredBytes);
      rest = rest.subarray(piece.length);
      this.#gathered.push(piece);
      this.#gatheredBytes += piece.length;
      if (this.#gatheredBytes === this.#pieceBytes) await this.#dispatch();
    }
  }

  async #dispatch(): Promise<void> {
    const sizeBytes = this.#gatheredBytes;
    while (this.#inFlight.size > 0 && this.#inFlightBytes + sizeBytes > IN_FLIGHT_BYTES_MAX) {
      await Promise.race(this.#inFlight);
      this.#ongoing.check();
    }
    const [first] = this.#gathered;
    const body = this.#gathered.length === 1 && first !== undefined ? bufferOf(first) : Buffer.concat(this.#gathered);
    const offset = this.#sizeBytes;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#sizeBytes += sizeBytes;
    this.#inFlightBytes += sizeBytes;
    const sending = this.#send(body, offset)
      .catch((error: unknown) => this.#ongoing.fail(error))
      .finally(() => {
        this.#inFlight.delete(sending);
        this.#inFlightBytes -= sizeBytes;
      });
    this.#inFlight.add(sending);
  }

  async #send(body: Buffer, offset: number): Promise<void> {
    await this.#run(async (connection) => {
      const handle = await this.#handleOn(connection, "again");
      try {
        await connection.request<void>((sftp, done) => sftp.write(handle, body, 0, body.length, offset, done));
      } catch (error) {
        throw await writeFailure(error, connection, { action: this.#ongoing.action, path: this.#write.temporaryPath });
      }
    }, body.length);
  }

  /** The file's handle on a connection. */
  async #handleOn(connection: SftpConnection, how: keyof typeof OPEN): Promise<Buffer> {
    if (this.#handle?.connection !== connection) {
      this.#connectionCount += 1;
      const open = (sftp: SFTPWrapper, done: (error?: Error | null, handle?: Buffer) => void): void =>
        sftp.open(this.#write.temporaryPath, OPEN[how], FILE_MODE, done);
      this.#handle = { connection, handle: connection.request<Buffer>(open) };
    }
    try {
      return await this.#handle.handle;
    } catch (error) {
      if (how === "again" && statusOf(error) === STATUS.noSuchFile) throw vanished(error);
      throw error;
    }
  }

  /** Everything on the server's disk and as long as it must be; read back where a connection was lost. */
  async #sync(expected: WrittenContent | undefined): Promise<number | undefined> {
    const { temporaryPath } = this.#write;
    const modifiedSeconds = await this.#run(async (connection) => {
      const handle = await this.#handleOn(connection, "again");
      const syncing = connection.request<void>((sftp, done) => sftp.ext_openssh_fsync(handle, done), true);
      const looking = connection.request<Stats>((sftp, done) => sftp.fstat(handle, done));
      const closing = connection.request<void>((sftp, done) => sftp.close(handle, done), true);
      this.#handle = null;
      const [synced, looked, closed] = await Promise.allSettled([syncing, looking, closing]);
      // A server that cannot sync does what it does when the file is closed.
      const isSynced = synced.status === "fulfilled" || statusOf(synced.reason) === STATUS.unsupported;
      for (const outcome of [isSynced ? looked : synced, looked, closed]) {
        if (outcome.status === "fulfilled") continue;
        throw await writeFailure(outcome.reason, connection, { action: this.#ongoing.action, path: temporaryPath });
      }
      if (looked.status === "rejected") return undefined;
      this.#confirmSize(looked.value.size, expected);
      // Servers may leave it out.
      return (looked.value as Partial<Stats>).mtime;
    });
    if (this.#connectionCount > 1) await this.#readBack(expected);
    return modifiedSeconds;
  }

  async #readBack(expected: WrittenContent | undefined): Promise<void> {
    if (expected === undefined) {
      throw new OperatingError(
        "storage_failed",
        `${this.#ongoing.action}: the connection broke off, and nothing tells what it must hold`,
      );
    }
    const { sizeBytes } = expected;
    const found = await this.#run(
      async (connection) => await hashFile(connection, this.#write.temporaryPath, sizeBytes),
      sizeBytes,
    );
    if (Buffer.compare(found, expected.sha256) === 0) return;
    throw new OperatingError(
      "corrupt",
      `${this.#ongoing.action}: the server lost a part of it when the connection broke off`,
      {
        hint: "The server probably went down. Look at its state, then run the command again.",
      },
    );
  }

  /** After the naming: the folder durable, the temporary name gone, the size once more. */
  async #settle(naming: Naming, isMarked: boolean, expected?: WrittenContent): Promise<StoredObject> {
    const { name, path } = this.#write;
    const { first, none, second } = naming.marks;
    const found = await this.#requests.run({ action: this.#ongoing.action }, async (connection) => {
      const [, , stats] = await Promise.all([
        syncFolder(connection, parentOf(path)),
        this.#removeTemporary(connection),
        this.#requests.look(connection, path),
      ]);
      return stats;
    });
    if (found === null) throw new OperatingError("storage_failed", `"${name}" is not there after writing`);
    if (isMarked && found.mtime !== first) throw isThere();
    this.#confirmSize(found.size, expected);
    // It may be deleted by then.
    const unmark = async (connection: SftpConnection): Promise<unknown> =>
      await unlessMissing(setModified(connection, path, none));
    if ([first, second].includes(found.mtime)) await this.#requests.run({ action: this.#ongoing.action }, unmark);
    return { name, sizeBytes: found.size };
  }

  #confirmSize(sizeBytes: number, expected: WrittenContent | undefined): void {
    const wanted = expected?.sizeBytes ?? this.#sizeBytes;
    if (sizeBytes === wanted && sizeBytes === this.#sizeBytes) return;
    throw new OperatingError("corrupt", `"${this.#write.name}" has ${sizeBytes} bytes after writing, not ${wanted}`);
  }

  async #tidy(connection: SftpConnection): Promise<void> {
    const open = this.#handle;
    this.#handle = null;
    if (open?.connection === connection) {
      const closing = open.handle.then((handle) => connection.request<void>((sftp, done) => sftp.close(handle, done)));
      await closing.catch(() => undefined);
    }
    const naming = this.#naming;
    // The name may have been given although the answer was lost: nobody shall meet what was never confirmed.
    if (naming?.ifAbsent === true && (await new Namer(this.#requests, connection, naming).isOurs())) {
      await unlessMissing(connection.request<void>((sftp, done) => sftp.unlink(naming.path, done)));
    }
    await this.#removeTemporary(connection);
  }

  async #removeTemporary(connection: SftpConnection): Promise<void> {
    const { temporaryPath } = this.#write;
    await unlessMissing(connection.request<void>((sftp, done) => sftp.unlink(temporaryPath, done)));
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
