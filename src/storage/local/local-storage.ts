// Storage in a folder of a file system. Files are written whole and durably (see local-writer.ts), 0600 in folders of
// 0700. A file system computes no checksum: sizes are confirmed, the bytes' word is the file system's until `verify`.

import type { Dirent, Stats } from "node:fs";
import { open, readdir, stat, statfs, unlink, type FileHandle } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf, OperatingError } from "../../base/errors.ts";
import { checkRange } from "../byte-range.ts";
import { checkObjectName, isObjectName } from "../names.ts";
import type { ByteRange, Leftover, ObjectWriter, PutOptions, Storage, StoredObject } from "../storage.ts";
import { writeThrough } from "../write-through.ts";
import { DurableFolders } from "./durable-folders.ts";
import { fileError, systemCode, writeError } from "./errors.ts";
import { openLocalWriter } from "./local-writer.ts";
import { ReadHandles } from "./read-handles.ts";
import { isTemporaryName, isWriterDead } from "./temporary-names.ts";

/** Storage in a folder, given as a path or a `file:` URI. Nothing is made before the first write. */
export function openLocalStorage(directory: string): Storage {
  if (directory === "") throw new OperatingError("usage", "the repository's folder has no name");
  return new LocalStorage(/^file:/i.test(directory) ? pathOfUri(directory) : resolve(directory));
}

function pathOfUri(uri: string): string {
  try {
    return fileURLToPath(uri);
  } catch (error) {
    throw new OperatingError(
      "usage",
      `the repository's location is no file: URI of this machine: ${messageOf(error)}`,
      {
        hint: 'The form is file:///path/of/the/folder; a path without "file:" does as well.',
      },
    );
  }
}

class LocalStorage implements Storage {
  readonly description: string;
  readonly isLocal = true;
  readonly #root: string;
  readonly #folders = new DurableFolders();
  readonly #handles = new ReadHandles();

  constructor(root: string) {
    this.#root = root;
    this.description = root;
  }

  async openWriter(name: string, options: PutOptions = {}): Promise<ObjectWriter> {
    const path = this.#pathOf(name);
    options.signal?.throwIfAborted();
    try {
      await this.#folders.ensure(dirname(path));
      return await openLocalWriter({ name, path, ifAbsent: options.ifAbsent ?? false, signal: options.signal });
    } catch (error) {
      throw writeError(error, name);
    }
  }

  async put(name: string, bytes: Uint8Array, options: PutOptions = {}): Promise<StoredObject> {
    return await writeThrough(await this.openWriter(name, options), bytes);
  }

  async read(name: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    const path = this.#pathOf(name);
    signal?.throwIfAborted();
    try {
      if (range !== undefined) {
        checkRange(`could not read "${name}"`, range);
        return await this.#handles.use(path, async (handle) => await readRange(handle, name, range));
      }
      await using handle = await open(path, "r");
      const { size: lengthBytes } = await handle.stat();
      checkRange(`could not read "${name}"`, { offset: 0, lengthBytes });
      return await readRange(handle, name, { offset: 0, lengthBytes });
    } catch (error) {
      throw fileError(error, `could not read "${name}"`);
    }
  }

  async head(name: string, signal?: AbortSignal): Promise<StoredObject | null> {
    const status = await this.#status(name, signal);
    return status === null ? null : { name, sizeBytes: status.size };
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject> {
    for await (const file of this.#walk("", prefix, signal)) {
      if (!file.name.startsWith(prefix) || !isObjectName(file.name)) continue;
      const status = await this.#status(file.name, signal);
      if (status === null) continue;
      yield { name: file.name, sizeBytes: status.size, version: `${status.ino}-${status.mtimeMs}` };
    }
  }

  async delete(name: string, signal?: AbortSignal): Promise<void> {
    await this.#unlink(this.#pathOf(name), name, signal);
  }

  async *leftovers(signal?: AbortSignal): AsyncIterable<Leftover> {
    for await (const { name, fileName } of this.#walk("", "", signal)) {
      if (!isTemporaryName(fileName)) continue;
      const status = await stat(join(this.#root, name)).catch(() => null); // gone since it was listed
      if (status === null) continue;
      yield { name, sizeBytes: status.size, isDead: isWriterDead(fileName, Date.now() - status.mtimeMs) };
    }
  }

  async deleteLeftover(name: string, signal?: AbortSignal): Promise<void> {
    const parts = name.split("/");
    const fileName = parts.pop() ?? "";
    if (parts.length > 0) checkObjectName(parts.join("/"));
    if (!isTemporaryName(fileName)) throw new OperatingError("usage", `"${name}" is no left-over`);
    await this.#unlink(join(this.#root, name), name, signal);
  }

  async freeSpaceBytes(): Promise<number | null> {
    let path = this.#root;
    for (;;) {
      try {
        const status = await statfs(path);
        return status.bavail * status.bsize;
      } catch (error) {
        if (systemCode(error) !== "ENOENT" || dirname(path) === path) return null;
        path = dirname(path);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handles[Symbol.asyncDispose]();
  }

  /** Null when no file is there. */
  async #status(name: string, signal: AbortSignal | undefined): Promise<Stats | null> {
    const path = this.#pathOf(name);
    signal?.throwIfAborted();
    try {
      const status = await stat(path);
      return status.isFile() ? status : null;
    } catch (error) {
      if (["ENOENT", "ENOTDIR"].includes(systemCode(error))) return null;
      throw fileError(error, `could not look at "${name}"`);
    }
  }

  #pathOf(name: string): string {
    checkObjectName(name);
    return join(this.#root, name);
  }

  async #unlink(path: string, name: string, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    try {
      await unlink(path);
    } catch (error) {
      if (!["ENOENT", "ENOTDIR"].includes(systemCode(error))) throw fileError(error, `could not delete "${name}"`);
    }
  }

  /** All files below a folder that can have the prefix, in the order of their whole names. */
  async *#walk(
    folder: string,
    prefix: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<{ name: string; fileName: string }> {
    signal?.throwIfAborted();
    for (const entry of await this.#entries(folder)) {
      const name = folder + entry.name;
      if (entry.isDirectory()) {
        const inner = `${name}/`;
        if (inner.startsWith(prefix) || prefix.startsWith(inner)) yield* this.#walk(inner, prefix, signal);
      } else if (entry.isFile()) {
        yield { name, fileName: entry.name };
      }
    }
  }

  async #entries(folder: string): Promise<Dirent[]> {
    try {
      const entries = await readdir(join(this.#root, folder), { withFileTypes: true });
      const key = (entry: Dirent): string => (entry.isDirectory() ? `${entry.name}/` : entry.name);
      return entries.toSorted((one, other) => (key(one) < key(other) ? -1 : 1));
    } catch (error) {
      if (["ENOENT", "ENOTDIR"].includes(systemCode(error))) return [];
      throw fileError(error, `could not list "${folder}"`);
    }
  }
}

async function readRange(handle: FileHandle, name: string, { offset, lengthBytes }: ByteRange): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(lengthBytes);
  let filled = 0;
  while (filled < lengthBytes) {
    const { bytesRead } = await handle.read(bytes, filled, lengthBytes - filled, offset + filled);
    if (bytesRead === 0) throw tooShort(name, offset + filled, offset + lengthBytes);
    filled += bytesRead;
  }
  return bytes;
}

function tooShort(name: string, sizeBytes: number, wantedBytes: number): OperatingError {
  return new OperatingError("corrupt", `could not read "${name}": it ends at ${sizeBytes}, before byte ${wantedBytes}`);
}
