// Gives a written file its name: only where none has it (a hard link, which fails where the name is taken; where the server
// makes none, SFTP's rename, which is meant to), or in place of what has it (posix-rename). When an answer was lost, the
// file's own marks tell whether the name is ours: modification times, set on the unfinished file and seen under the name.
// Sources: OpenSSH's PROTOCOL, "sftp: Extension request"; draft-ietf-secsh-filexfer-02, "Removing and Renaming Files".

import { randomInt } from "node:crypto";
import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { STATUS, statusOf } from "./sftp-errors.ts";
import type { SftpConnection } from "./sftp-connection.ts";
import { unlessMissing } from "./sftp-requests.ts";
import type { SftpRequests } from "./sftp-requests.ts";

const HOUR_SECONDS = 3600;
/** How far back marks lie: no file has them that is just made, and nobody takes the marked one for left over (a day). */
const MARK_AGE = { first: [HOUR_SECONDS, 12 * HOUR_SECONDS], second: [12 * HOUR_SECONDS, 20 * HOUR_SECONDS] } as const;
/** Older than Cairn: the server does not know the time. */
const MODIFIED_SECONDS_MIN = Date.UTC(2026, 0, 1) / 1000;

/** Modification times that only a naming's own file has: the same for all attempts. */
export interface Marks {
  readonly first: number;
  readonly second: number;
  /** What the file has without a mark. */
  readonly none: number;
}

/** A file that is written, and what it shall be called. */
export interface Naming {
  readonly path: string;
  readonly temporaryPath: string;
  readonly ifAbsent: boolean;
  readonly marks: Marks;
  /** For trials: fails where marks are not kept. */
  readonly needsMark: boolean;
}

/** Names one file over one connection. After the signal it asks the server for nothing more. */
export class Namer {
  readonly #requests: SftpRequests;
  readonly #connection: SftpConnection;
  readonly #naming: Naming;
  readonly #signal: AbortSignal | undefined;

  constructor(requests: SftpRequests, connection: SftpConnection, naming: Naming, signal?: AbortSignal) {
    this.#requests = requests;
    this.#connection = connection;
    this.#naming = naming;
    this.#signal = signal;
  }

  /** One attempt; `isFirst`: none went before that may have done it. True: the named file shows its first mark. */
  async give(isFirst: boolean): Promise<boolean> {
    const isMarked = this.#naming.ifAbsent ? await this.#createIfAbsent(isFirst) : await this.#replace(isFirst);
    if (this.#naming.needsMark) await this.#refuseLostMark();
    return isMarked;
  }

  /** True when the unfinished file and what has the name are the same file, or the first has become the second. */
  async isOurs(): Promise<boolean> {
    const { first, second } = this.#naming.marks;
    const isUnfinishedThere = await this.#markUnfinished(first);
    if (!(await this.#hasMark(first))) return false;
    if (!isUnfinishedThere) return true;
    // Somebody else's file may have the one time by chance. It does not follow ours.
    return (await this.#markUnfinished(second)) && (await this.#hasMark(second));
  }

  async #createIfAbsent(isFirst: boolean): Promise<boolean> {
    const { path, temporaryPath } = this.#naming;
    try {
      await this.#request<void>((sftp, done) => sftp.ext_openssh_hardlink(temporaryPath, path, done));
      return false;
    } catch (error) {
      if (isOperatingError(error)) throw error;
      if (statusOf(error) === STATUS.noSuchFile && isFirst) throw vanished(error);
      const isTaken = statusOf(error) !== STATUS.unsupported && (await this.#exists(path));
      // An answer may have been lost: then the name is taken by our own file.
      if (isTaken && !isFirst && (await this.isOurs())) return false;
      if (isTaken) throw isThere(error);
    }
    // A server without this extension, or a file system without hard links.
    await this.#renameIfAbsent(isFirst);
    return true;
  }

  async #replace(isFirst: boolean): Promise<boolean> {
    const { path, temporaryPath } = this.#naming;
    try {
      await this.#request<void>((sftp, done) => sftp.ext_openssh_rename(temporaryPath, path, done));
    } catch (error) {
      if (isOperatingError(error)) throw error;
      if (statusOf(error) === STATUS.noSuchFile && !isFirst && (await this.#exists(path))) return false;
      if (statusOf(error) === STATUS.noSuchFile) throw vanished(error);
      if (statusOf(error) !== STATUS.unsupported) throw error;
      await this.#renameOnly();
    }
    return false;
  }

  /** Throws "storage_failed" where a mark does not come back. */
  async #refuseLostMark(): Promise<void> {
    const { marks, path } = this.#naming;
    await this.#mark(path, marks.first);
    if (await this.#hasMark(marks.first)) return;
    throw new OperatingError("storage_failed", `it has lost the mark that tells whose object it is`, {
      detail: "The server does not keep the modification time that a file is given.",
      hint: "Use a server that does, such as OpenSSH.",
    });
  }

  /**
   * The mark is set before: with the rename, the unfinished file's name is gone. A server that looks and then renames lets
   * two pass at once, the second in the first one's place: the first is told here, or when it looks at its object at the end.
   */
  async #renameIfAbsent(isFirst: boolean): Promise<void> {
    const { first } = this.#naming.marks;
    const isRenamed = !(await this.#markUnfinished(first));
    if (isRenamed && (isFirst || !(await this.#hasMark(first)))) throw vanished();
    if (!isRenamed) await this.#rename();
    if (!(await this.#hasMark(first))) throw isThere();
  }

  /** For servers that cannot replace: the name must be free. */
  async #renameOnly(): Promise<void> {
    try {
      await this.#rename();
    } catch (error) {
      if (!isOperatingError(error, "repository_exists")) throw error;
      throw new OperatingError("storage_failed", "the server cannot put it in the place of what is there", {
        detail: "It lacks posix-rename@openssh.com, which puts a file in another's place in one step.",
        hint: "Use a server that has it, such as OpenSSH.",
        cause: error,
      });
    }
  }

  async #rename(): Promise<void> {
    const { path, temporaryPath } = this.#naming;
    try {
      await this.#request<void>((sftp, done) => sftp.rename(temporaryPath, path, done));
    } catch (error) {
      if (isOperatingError(error)) throw error;
      if (statusOf(error) === STATUS.noSuchFile) throw vanished(error);
      throw (await this.#exists(path)) ? isThere(error) : error;
    }
  }

  async #exists(path: string): Promise<boolean> {
    this.#signal?.throwIfAborted();
    return (await this.#requests.look(this.#connection, path)) !== null;
  }

  async #hasMark(mark: number): Promise<boolean> {
    this.#signal?.throwIfAborted();
    return (await this.#requests.look(this.#connection, this.#naming.path))?.mtime === mark;
  }

  /** False where the unfinished file is not there. */
  async #markUnfinished(mark: number): Promise<boolean> {
    return (await unlessMissing(this.#mark(this.#naming.temporaryPath, mark).then(() => true))) !== null;
  }

  async #mark(path: string, mark: number): Promise<void> {
    this.#signal?.throwIfAborted();
    await setModified(this.#connection, path, mark);
  }

  async #request<T>(send: Parameters<typeof SftpConnection.prototype.request<T>>[0]): Promise<T> {
    this.#signal?.throwIfAborted();
    return await this.#connection.request<T>(send);
  }
}

/** Sets when a file was modified, in seconds. */
export async function setModified(connection: SftpConnection, path: string, seconds: number): Promise<void> {
  const times = { atime: seconds, mtime: seconds };
  await connection.request<void>((sftp, done) => sftp.setstat(path, times, done));
}

/** Marks for a file that the server says was modified at that second. */
export function newMarks(modifiedSeconds: number | undefined): Marks {
  const isKnown = modifiedSeconds !== undefined && modifiedSeconds >= MODIFIED_SECONDS_MIN;
  const base = isKnown ? modifiedSeconds : nowSeconds();
  return {
    first: base - randomInt(...MARK_AGE.first),
    second: base - randomInt(...MARK_AGE.second),
    none: modifiedSeconds ?? base,
  };
}

/** The unfinished file is gone: somebody removed it. */
export function vanished(cause?: unknown): OperatingError {
  return new OperatingError("storage_failed", "the unfinished file is gone", {
    hint: "Somebody removed it from the server, or its folder. Run the command again.",
    cause,
  });
}

/** Somebody else has the name. */
export function isThere(cause?: unknown): OperatingError {
  return new OperatingError("repository_exists", "it is there already", { cause });
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
