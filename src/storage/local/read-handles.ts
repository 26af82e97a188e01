// Files that are being read. Reads of one file that overlap or follow one another closely share a handle: opening and
// closing it for each range would take longer than reading the range. A file that was deleted or replaced meanwhile is
// opened anew by the next read that does not overlap with another.

import { open, type FileHandle } from "node:fs/promises";

/** How long a handle stays open behind its last read. */
const LINGER_MS = 100;
/** Handles that wait for another read; above it, the one that waits longest is closed. */
const IDLE_COUNT_MAX = 8;

interface OpenFile {
  readonly handle: Promise<FileHandle>;
  userCount: number;
  closing: NodeJS.Timeout | null;
}

/** See the head of this file. Disposing it closes what no read is using. */
export class ReadHandles implements AsyncDisposable {
  readonly #files = new Map<string, OpenFile>();
  /** Those of the files that nobody uses, the one that waits longest first. */
  readonly #idle = new Map<string, OpenFile>();

  /** Runs `work` with a handle to read the file; it must not be closed. Throws what open() throws. */
  async use<T>(path: string, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    const idle = this.#idle.get(path);
    // Another read may have taken it while it was looked at: then that one closes it.
    if (idle !== undefined && (await isGone(idle))) void this.#drop(path, idle);
    const file = this.#take(path);
    try {
      return await work(await file.handle);
    } finally {
      file.userCount -= 1;
      if (file.userCount === 0) this.#leave(path, file);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#idle].map(([path, file]) => this.#drop(path, file)));
  }

  #take(path: string): OpenFile {
    const file = this.#files.get(path) ?? this.#open(path);
    file.userCount += 1;
    this.#idle.delete(path);
    if (file.closing !== null) clearTimeout(file.closing);
    file.closing = null;
    return file;
  }

  #open(path: string): OpenFile {
    const file: OpenFile = { handle: open(path, "r"), userCount: 0, closing: null };
    this.#files.set(path, file);
    // What could not be opened is tried anew by the next read.
    file.handle.catch(() => this.#drop(path, file));
    return file;
  }

  #leave(path: string, file: OpenFile): void {
    if (this.#files.get(path) !== file) return void close(file);
    this.#idle.set(path, file);
    file.closing = setTimeout(() => void this.#drop(path, file), LINGER_MS);
    if (this.#idle.size <= IDLE_COUNT_MAX) return;
    const [oldestPath, oldest] = this.#idle.entries().next().value!;
    void this.#drop(oldestPath, oldest);
  }

  /** Forgets the file, and closes it unless it is being read. */
  async #drop(path: string, file: OpenFile): Promise<void> {
    if (this.#files.get(path) !== file) return;
    this.#files.delete(path);
    this.#idle.delete(path);
    if (file.closing !== null) clearTimeout(file.closing);
    if (file.userCount === 0) await close(file);
  }
}

/** Never rejects: nothing was written that a failing close() could lose. */
async function close(file: OpenFile): Promise<void> {
  await file.handle.then((handle) => handle.close()).catch(() => {});
}

/** True when the file does not have its name any more. */
async function isGone(file: OpenFile): Promise<boolean> {
  const status = await file.handle.then((handle) => handle.stat()).catch(() => null);
  return status === null || status.nlink === 0;
}
