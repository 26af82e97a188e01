// An archive file being written: under a temporary name beside the final one, 0600, renamed when durable. What is not
// finished is removed. Writes are gathered into large ones; back-pressure is the promise of write(). What is written is
// made durable meanwhile, and its checksum made, so that little of either is left for the end.

import { constants } from "node:fs";
import { link, open, rename, rm, stat, statfs, type FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { randomBytes } from "node:crypto";

import type { ArchiveSink } from "../../archive/index.ts";
import { assert } from "../../base/assert.ts";
import { OperatingError } from "../../base/errors.ts";
import { freeBuffer } from "../../base/free-buffer.ts";
import { formatSize, MIB } from "../../base/units.ts";
import { FollowingHash } from "./following-hash.ts";
import { hashFile } from "./read-back.ts";

const GATHER_SIZE_BYTES = MIB;
/** So much is written before the system is told to make it durable. */
const SYNC_STEP_BYTES = 32 * MIB;
const FILE_MODE = 0o600;
/** Below every system's IOV_MAX. */
const VECTOR_COUNT_MAX = 512;

export interface FileTarget {
  readonly file: string;
  readonly overwrite: boolean;
}

/** Checks before anything long: the folder is there, the file is not (or may be replaced). Returns the absolute path. */
export async function checkFileTarget(target: FileTarget): Promise<string> {
  if (target.file === "") throw new OperatingError("usage", "no file was named");
  const path = resolve(target.file);
  const folder = await stat(dirname(path)).catch(() => null);
  if (folder === null || !folder.isDirectory()) {
    throw new OperatingError("usage", `folder "${dirname(path)}" does not exist`);
  }
  const existing = await stat(path).catch(() => null);
  if (existing?.isDirectory() === true) throw new OperatingError("usage", `"${path}" is a folder`);
  if (existing !== null && !target.overwrite) {
    throw new OperatingError("usage", `file "${path}" exists already`, {
      hint: "Name another file, or say --overwrite: it is replaced only when the new one is whole.",
    });
  }
  return path;
}

/** Throws "no_space" when the file system of the path has less free than needed. */
export async function checkFreeSpace(path: string, neededBytes: number): Promise<void> {
  const facts = await statfs(dirname(path));
  const freeBytes = facts.bavail * facts.bsize;
  if (freeBytes >= neededBytes) return;
  throw new OperatingError("no_space", `not enough free space in "${dirname(path)}"`, {
    detail: `${formatSize(freeBytes)} are free; up to ${formatSize(neededBytes)} may be needed.`,
    hint: "Free some space, name a file elsewhere, or back up into a repository, which stores only what is new.",
  });
}

/** A file under its temporary name. Disposing it without publish() removes it. */
export class TemporaryFile implements ArchiveSink, AsyncDisposable {
  readonly temporaryPath: string;
  readonly #finalPath: string;
  readonly #overwrite: boolean;
  readonly #handle: FileHandle;
  #gathered: Gathered = { parts: [], given: [], sizeBytes: 0 };
  #position = 0;
  #writing: Promise<void> = Promise.resolve();
  /** With the system; less than #position while a write is under way. */
  #writtenBytes = 0;
  #hash: FollowingHash | null = null;
  #syncing: Promise<void> | null = null;
  #syncedBytes = 0;
  #failure: OperatingError | null = null;
  #published = false;

  private constructor(temporaryPath: string, target: FileTarget, handle: FileHandle) {
    this.temporaryPath = temporaryPath;
    this.#finalPath = target.file;
    this.#overwrite = target.overwrite;
    this.#handle = handle;
  }

  static async create(target: FileTarget): Promise<TemporaryFile> {
    const name = `.${basename(target.file)}.${randomBytes(6).toString("hex")}.partial`;
    const path = join(dirname(target.file), name);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
    const handle = await open(path, flags, FILE_MODE).catch((error: unknown) => {
      throw fileFailure("could not create", path, error);
    });
    return new TemporaryFile(path, target, handle);
  }

  /** Bytes taken so far. */
  get sizeBytes(): number {
    return this.#position + this.#gathered.sizeBytes;
  }

  get handle(): FileHandle {
    return this.#handle;
  }

  /** Makes the checksum while the file is written. Worth it only when little will be patched. */
  startHash(): void {
    assert(this.#hash === null, "a checksum is begun once");
    this.#hash = new FollowingHash(this.temporaryPath);
    this.#hash.written(this.#writtenBytes);
  }

  /** Takes the bytes, which may not change afterwards; one write of the system is under way at a time. */
  async write(bytes: Uint8Array, isGiven = false): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    const gathered = this.#gathered;
    gathered.parts.push(bytes);
    if (isGiven) gathered.given.push(bytes);
    gathered.sizeBytes += bytes.length;
    if (gathered.sizeBytes >= GATHER_SIZE_BYTES) await this.#flush();
  }

  async patch(offset: number, bytes: Uint8Array): Promise<void> {
    await this.drain();
    await this.#writeAll([bytes], offset).catch((error: unknown) => {
      throw fileFailure("could not write", this.temporaryPath, error);
    });
    this.#hash?.restart();
  }

  /** SHA-256 of the whole file as it can be read now, hex. */
  async sha256(signal: AbortSignal): Promise<string> {
    await this.drain();
    if (this.#hash === null) return await hashFile(this.#handle, signal);
    return await this.#hash.finish(signal).catch((error: unknown) => {
      signal.throwIfAborted();
      throw fileFailure("could not read back", this.temporaryPath, error);
    });
  }

  /** Everything written so far is with the system. */
  async drain(): Promise<void> {
    await this.#flush();
    await this.#writing;
    if (this.#failure !== null) throw this.#failure;
  }

  /** Makes the bytes durable; they may be read back after this. */
  async sync(): Promise<void> {
    await this.drain();
    await this.#syncing;
    if (this.#failure !== null) throw this.#failure;
    await this.#handle.sync().catch((error: unknown) => {
      throw fileFailure("could not make durable", this.temporaryPath, error);
    });
  }

  /** Gives the file its final name, durably. */
  async publish(): Promise<void> {
    assert(this.#gathered.sizeBytes === 0, "a file is synced before it is published");
    await this.#giveName().catch((error: unknown) => {
      throw fileFailure("could not write", this.#finalPath, error);
    });
    this.#published = true;
    await using folder = await open(dirname(this.#finalPath), "r");
    await folder.sync();
  }

  /** A second name first where nothing may be replaced: unlike rename(), link() fails when the name is taken meanwhile. */
  async #giveName(): Promise<void> {
    if (!this.#overwrite) {
      const linked = await link(this.temporaryPath, this.#finalPath).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code === "EEXIST") throw error;
          return false; // not every file system has links
        },
      );
      if (linked) {
        await rm(this.temporaryPath);
        return;
      }
    }
    await rename(this.temporaryPath, this.#finalPath);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing.catch(() => {});
    await this.#syncing;
    await this.#hash?.[Symbol.asyncDispose]();
    await this.#handle.close();
    if (!this.#published) await rm(this.temporaryPath, { force: true });
  }

  async #flush(): Promise<void> {
    const { parts, given, sizeBytes } = this.#gathered;
    const position = this.#position;
    this.#gathered = { parts: [], given: [], sizeBytes: 0 };
    this.#position += sizeBytes;
    await this.#writing;
    if (parts.length === 0 || this.#failure !== null) return;
    this.#writing = this.#writeAll(parts, position).then(
      () => this.#afterWrite(position + sizeBytes, given),
      (error: unknown) => this.#fail("could not write", error),
    );
  }

  #afterWrite(writtenBytes: number, given: readonly Uint8Array[]): void {
    for (const bytes of given) freeBuffer(bytes);
    this.#writtenBytes = writtenBytes;
    this.#hash?.written(writtenBytes);
    if (this.#syncing !== null || writtenBytes - this.#syncedBytes < SYNC_STEP_BYTES) return;
    this.#syncedBytes = writtenBytes;
    this.#syncing = this.#handle
      .datasync()
      .catch((error: unknown) => this.#fail("could not make durable", error))
      .finally(() => {
        this.#syncing = null;
      });
  }

  #fail(action: string, error: unknown): void {
    this.#failure ??= fileFailure(action, this.temporaryPath, error);
  }

  async #writeAll(parts: readonly Uint8Array[], position: number): Promise<void> {
    let rest = parts;
    let written = 0;
    while (rest.length > 0) {
      const { bytesWritten } = await this.#handle.writev(rest.slice(0, VECTOR_COUNT_MAX), position + written);
      written += bytesWritten;
      rest = behind(rest, bytesWritten);
    }
  }
}

/** What waits for the next write. */
interface Gathered {
  readonly parts: Uint8Array[];
  /** Those of the parts that are freed once they are written. */
  readonly given: Uint8Array[];
  sizeBytes: number;
}

/** What is left of the parts when so many bytes of them were written. */
function behind(parts: readonly Uint8Array[], writtenBytes: number): readonly Uint8Array[] {
  let left = writtenBytes;
  let index = 0;
  while (index < parts.length && left >= parts[index]!.length) left -= parts[index++]!.length;
  if (left === 0) return parts.slice(index);
  return [parts[index]!.subarray(left), ...parts.slice(index + 1)];
}

/** What went wrong with a file, in the words of its cure. */
export function fileFailure(action: string, path: string, cause: unknown): OperatingError {
  if (cause instanceof OperatingError) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new OperatingError("no_space", `${action} "${path}": no space left`, {
      hint: "The unfinished file is removed. Free some space, or name a file elsewhere.",
      cause,
    });
  }
  const errorCode = code === "EACCES" || code === "EPERM" || code === "EROFS" ? "permission_denied" : "storage_failed";
  return new OperatingError(errorCode, `${action} "${path}": ${message}`, { cause });
}
