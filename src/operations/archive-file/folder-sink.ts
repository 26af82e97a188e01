// A directory archive being written: a folder under a temporary name beside the final one, 0700, its files 0600, each made
// durable, and the folder renamed when it is whole. What is not finished is removed.

import { constants } from "node:fs";
import { access, mkdir, open, readdir, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { basename, dirname, join, resolve } from "node:path";

import { isMemberName, type MemberSink } from "../../archive/index.ts";
import { assert } from "../../base/assert.ts";
import { OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { fileFailure, type FileTarget } from "./file-sink.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const GATHER_SIZE_BYTES = MIB;
/** Files that are being made durable at once. */
const SYNCS_MAX = 8;
const TOC_NAME = "toc.dat";

/** What pg_dump and Cairn write into a folder. Nothing else is ever removed. */
const ARCHIVE_FILE = /^(?:toc\.dat|(?:blob_)?[0-9]+\.dat(?:\.gz|\.lz4|\.zst)?|blobs(?:_[0-9]+)?\.toc)$/;

/** Checks before anything long: the folder is not there, or holds an archive that may be replaced. Its absolute path. */
export async function checkFolderTarget({ file, overwrite }: FileTarget): Promise<string> {
  if (file === "") throw new OperatingError("usage", "no folder was named");
  const path = resolve(file);
  const parent = await stat(dirname(path)).catch(() => null);
  if (parent === null || !parent.isDirectory()) {
    throw new OperatingError("usage", `folder "${dirname(path)}" does not exist`);
  }
  const existing = await stat(path).catch(() => null);
  if (existing === null) return path;
  if (!existing.isDirectory()) throw new OperatingError("usage", `"${path}" is a file`);
  if ((await readdir(path)).length === 0) return path;
  if (!overwrite) {
    throw new OperatingError("usage", `folder "${path}" exists already, and is not empty`, {
      hint: "Name another folder, or say --overwrite: an archive there is replaced only when the new one is whole.",
    });
  }
  await access(join(path, TOC_NAME)).catch(() => {
    throw new OperatingError("usage", `folder "${path}" holds no archive that could be replaced`);
  });
  await refuseStrangers(path, path);
  return path;
}

/** Replacing an archive removes its folder: with anything else in there it is refused. */
async function refuseStrangers(folder: string, shownAs: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true });
  const stranger = entries.find((entry) => !entry.isFile() || !ARCHIVE_FILE.test(entry.name));
  if (stranger === undefined) return;
  throw new OperatingError("usage", `folder "${shownAs}" holds "${stranger.name}", which is no file of an archive`, {
    hint: "An archive is replaced as a whole folder: move what else is in there, or name another folder.",
  });
}

/** A folder under its temporary name. Disposing it without publish() removes it. */
export class TemporaryFolder implements MemberSink, AsyncDisposable {
  readonly #temporaryPath: string;
  readonly #finalPath: string;
  readonly #syncs: Promise<void>[] = [];
  #open: { readonly handle: FileHandle; readonly path: string; parts: Uint8Array[]; partsBytes: number } | null = null;
  #sizeBytes = 0;
  #published = false;

  private constructor(temporaryPath: string, finalPath: string) {
    this.#temporaryPath = temporaryPath;
    this.#finalPath = finalPath;
  }

  /** `finalPath` as checkFolderTarget() gave it. */
  static async create(finalPath: string): Promise<TemporaryFolder> {
    const path = join(dirname(finalPath), `.${basename(finalPath)}.${randomBytes(6).toString("hex")}.partial`);
    await mkdir(path, { mode: FOLDER_MODE }).catch((error: unknown) => {
      throw fileFailure("could not create", path, error);
    });
    return new TemporaryFolder(path, finalPath);
  }

  /** Bytes of all files so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async begin(name: string): Promise<void> {
    assert(this.#open === null && isMemberName(name), "a file of the folder begins when the one before has ended");
    const path = join(this.#temporaryPath, name);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    const handle = await open(path, flags, FILE_MODE).catch((error: unknown) => {
      throw fileFailure("could not create", path, error);
    });
    this.#open = { handle, path, parts: [], partsBytes: 0 };
  }

  async write(bytes: Uint8Array): Promise<void> {
    const open = this.#open;
    assert(open !== null, "no file of the folder was begun");
    open.parts.push(bytes);
    open.partsBytes += bytes.byteLength;
    this.#sizeBytes += bytes.byteLength;
    if (open.partsBytes >= GATHER_SIZE_BYTES) await this.#flush();
  }

  async end(): Promise<void> {
    await this.#flush();
    const open = this.#open;
    assert(open !== null, "no file of the folder was begun");
    this.#open = null;
    const sync = finish(open.handle, open.path);
    sync.catch(() => {}); // its failure comes out when its turn comes
    this.#syncs.push(sync);
    if (this.#syncs.length >= SYNCS_MAX) await this.#syncs.shift();
  }

  /** Gives the folder its final name, durably; an archive of that name is replaced. */
  async publish(): Promise<void> {
    assert(this.#open === null, "the last file of the folder has ended");
    while (this.#syncs.length > 0) await this.#syncs.shift();
    try {
      await syncFolder(this.#temporaryPath);
      await this.#giveName();
    } catch (error) {
      throw fileFailure("could not write", this.#finalPath, error);
    }
    await syncFolder(dirname(this.#finalPath));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open?.handle.close();
    await Promise.allSettled(this.#syncs);
    if (!this.#published) await rm(this.#temporaryPath, { recursive: true, force: true });
  }

  /** An empty folder of that name gives way by itself; one with an archive is moved aside until the new one is there. */
  async #giveName(): Promise<void> {
    const aside = `${this.#temporaryPath}.replaced`;
    const existing = await readdir(this.#finalPath).catch((): string[] => []);
    const isReplaced = existing.includes(TOC_NAME);
    if (isReplaced) await rename(this.#finalPath, aside);
    try {
      // Looked at again, under the name by which nobody adds to it.
      if (isReplaced) await refuseStrangers(aside, this.#finalPath);
      await rename(this.#temporaryPath, this.#finalPath);
    } catch (error) {
      if (isReplaced) await rename(aside, this.#finalPath);
      throw error;
    }
    this.#published = true;
    if (isReplaced) await rm(aside, { recursive: true, force: true });
  }

  async #flush(): Promise<void> {
    const open = this.#open;
    if (open === null || open.partsBytes === 0) return;
    const bytes = Buffer.concat(open.parts, open.partsBytes);
    open.parts = [];
    open.partsBytes = 0;
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await open.handle.write(bytes, at).catch((error: unknown) => {
        throw fileFailure("could not write", open.path, error);
      });
      at += bytesWritten;
    }
  }
}

async function finish(handle: FileHandle, path: string): Promise<void> {
  try {
    await handle.sync();
  } catch (error) {
    throw fileFailure("could not make durable", path, error);
  } finally {
    await handle.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, "r");
  await folder.sync();
}
