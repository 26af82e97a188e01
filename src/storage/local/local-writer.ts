// Writes one file: under a temporary name in its own folder, synced, then given its name, then the folder synced.
// Bytes are gathered into large vectored writes; at most WRITE_QUEUE_BYTES_MAX wait in memory.

import { constants } from "node:fs";
import { link, open, rename, stat, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import type { ObjectWriter, StoredObject, WrittenContent } from "../storage.ts";
import { syncFolder } from "./durable-folders.ts";
import { systemCode, writeError } from "./errors.ts";
import { temporaryName } from "./temporary-names.ts";

const WRITE_QUEUE_BYTES_MAX = 8 * MIB;
const WRITE_BYTES_MIN = 1 * MIB;
/** The system takes at most 1,024 buffers in one call. */
const WRITE_BUFFERS_MAX = 1000;
const FILE_MODE = 0o600;

/** Where a file is to stand, and how. */
export interface LocalWriterSettings {
  readonly name: string;
  readonly path: string;
  readonly ifAbsent: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Opens a writer; its folder is there already. */
export async function openLocalWriter(settings: LocalWriterSettings): Promise<LocalWriter> {
  const temporaryPath = join(dirname(settings.path), temporaryName());
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
  const handle = await open(temporaryPath, flags, FILE_MODE);
  return new LocalWriter(settings, temporaryPath, handle);
}

/** See openLocalWriter(). */
export class LocalWriter implements ObjectWriter {
  readonly #settings: LocalWriterSettings;
  readonly #temporaryPath: string;
  readonly #handle: FileHandle;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #sizeBytes = 0;
  #pump: Promise<void> | null = null;
  #failure: unknown = null;
  #isOpen = true;

  constructor(settings: LocalWriterSettings, temporaryPath: string, handle: FileHandle) {
    this.#settings = settings;
    this.#temporaryPath = temporaryPath;
    this.#handle = handle;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#check();
    if (bytes.length === 0) return;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    this.#sizeBytes += bytes.length;
    if (this.#queuedBytes >= WRITE_BYTES_MIN || this.#queue.length >= WRITE_BUFFERS_MAX)
      this.#startPump(WRITE_BYTES_MIN);
    while (this.#queuedBytes > WRITE_QUEUE_BYTES_MAX && this.#pump !== null) await this.#pump;
    this.#check();
  }

  async finish(expected?: WrittenContent): Promise<StoredObject> {
    this.#check();
    try {
      while (this.#queue.length > 0 || this.#pump !== null) {
        this.#startPump(1);
        await this.#pump;
        this.#check();
      }
      await this.#handle.sync();
      await this.#confirmSize((await this.#handle.stat()).size, expected);
      await this.#handle.close();
      await this.#giveName();
      await syncFolder(dirname(this.#settings.path));
      this.#isOpen = false;
      const { size } = await stat(this.#settings.path);
      await this.#confirmSize(size, expected);
      return { name: this.#settings.name, sizeBytes: size };
    } catch (error) {
      await this.abort();
      this.#settings.signal?.throwIfAborted();
      throw writeError(error, this.#settings.name);
    }
  }

  async abort(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#queue = [];
    this.#queuedBytes = 0;
    await this.#pump;
    await this.#handle.close().catch(() => undefined);
    await unlink(this.#temporaryPath).catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #check(): void {
    this.#settings.signal?.throwIfAborted();
    if (this.#failure !== null) throw writeError(this.#failure, this.#settings.name);
    if (!this.#isOpen) throw new OperatingError("storage_failed", `"${this.#settings.name}" is not being written`);
  }

  async #confirmSize(sizeBytes: number, expected: WrittenContent | undefined): Promise<void> {
    const wanted = expected?.sizeBytes ?? this.#sizeBytes;
    if (sizeBytes === wanted && sizeBytes === this.#sizeBytes) return;
    const message = `"${this.#settings.name}" has ${sizeBytes} bytes after writing, not ${wanted}`;
    throw new OperatingError("corrupt", message);
  }

  #startPump(bytesMin: number): void {
    if (this.#pump !== null) return;
    this.#pump = this.#drain(bytesMin)
      .catch((error: unknown) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#pump = null;
      });
  }

  async #drain(bytesMin: number): Promise<void> {
    while (this.#queue.length > 0 && (this.#queuedBytes >= bytesMin || this.#queue.length >= WRITE_BUFFERS_MAX)) {
      let buffers = this.#queue.splice(0, WRITE_BUFFERS_MAX);
      while (buffers.length > 0) {
        const { bytesWritten } = await this.#handle.writev(buffers);
        this.#queuedBytes -= bytesWritten;
        buffers = afterWritten(buffers, bytesWritten);
      }
    }
  }

  /** Gives the file its name: at once (rename), or only where none has it (link). */
  async #giveName(): Promise<void> {
    const { ifAbsent, name, path } = this.#settings;
    if (!ifAbsent) return await rename(this.#temporaryPath, path);
    try {
      await link(this.#temporaryPath, path);
    } catch (error) {
      if (systemCode(error) === "EEXIST") {
        throw new OperatingError("repository_exists", `"${name}" is there already`, { cause: error });
      }
      if (!["EPERM", "ENOTSUP", "ENOSYS", "EMLINK"].includes(systemCode(error))) throw error;
      return await this.#claimName();
    }
    await unlink(this.#temporaryPath);
  }

  /** For file systems without hard links: an empty file claims the name, then the rename fills it. */
  async #claimName(): Promise<void> {
    const { name, path } = this.#settings;
    try {
      await (await open(path, "wx", FILE_MODE)).close();
    } catch (error) {
      if (systemCode(error) !== "EEXIST") throw error;
      throw new OperatingError("repository_exists", `"${name}" is there already`, { cause: error });
    }
    await rename(this.#temporaryPath, path);
  }
}

/** The buffers without their first `count` bytes: a vectored write may take fewer than it was given. */
function afterWritten(buffers: Uint8Array[], count: number): Uint8Array[] {
  let remaining = count;
  let index = 0;
  while (index < buffers.length && remaining >= buffers[index]!.length) {
    remaining -= buffers[index]!.length;
    index += 1;
  }
  const rest = buffers.slice(index);
  if (remaining > 0 && rest.length > 0) rest[0] = rest[0]!.subarray(remaining);
  return rest;
}
