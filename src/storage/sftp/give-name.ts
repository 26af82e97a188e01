// Gives a written file its name: only where none has it (a hard link, which fails where the name is taken; where the server
// makes none, SFTP's rename, which is meant to), or in place of what has it (posix-rename). When an answer was lost, the
// file's own mark tells whether the name is ours: a modification time, set on the unfinished file and seen under the name.
// Sources: OpenSSH's PROTOCOL, "sftp: Extension request"; draft-ietf-secsh-filexfer-02, "Removing and Renaming Files".

import { randomInt } from "node:crypto";
import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { STATUS, statusOf } from "./sftp-errors.ts";
import type { SftpConnection } from "./sftp-connection.ts";
import { unlessMissing } from "./sftp-requests.ts";
import type { SftpRequests } from "./sftp-requests.ts";

/** Marks lie so far back at most: less than what makes a left-over count as dead. */
const MARK_AGE_SECONDS_MAX = 5 * 24 * 3600;

/** A file that is written, and what it shall be called. */
export interface Naming {
  readonly path: string;
  readonly temporaryPath: string;
  readonly ifAbsent: boolean;
  /** A modification time, the same for all attempts: see newMark(). */
  readonly markSeconds: number;
  /** For trials: fails where marks are not kept. */
  readonly needsMark: boolean;
}

/** One attempt to give the name; `isFirst`: none went before that may have done it. The file may show its mark afterwards. */
export async function giveName(
  requests: SftpRequests,
  connection: SftpConnection,
  naming: Naming,
  isFirst: boolean,
): Promise<void> {
  const namer = new Namer(requests, connection, naming);
  if (naming.ifAbsent) await namer.createIfAbsent(isFirst);
  else await namer.replace(isFirst);
  if (naming.needsMark) await namer.refuseLostMark();
}

/** Takes the mark from a named file again: it was written now. */
export async function removeMark(connection: SftpConnection, path: string): Promise<void> {
  const times = { atime: nowSeconds(), mtime: nowSeconds() };
  await connection.request<void>((sftp, done) => sftp.setstat(path, times, done));
}

/** True when the unfinished file and what has the name are the same file. Marks it. */
export async function isSameFile(requests: SftpRequests, connection: SftpConnection, naming: Naming): Promise<boolean> {
  return await new Namer(requests, connection, naming).isOurs();
}

class Namer {
  readonly #requests: SftpRequests;
  readonly #connection: SftpConnection;
  readonly #naming: Naming;

  constructor(requests: SftpRequests, connection: SftpConnection, naming: Naming) {
    this.#requests = requests;
    this.#connection = connection;
    this.#naming = naming;
  }

  async createIfAbsent(isFirst: boolean): Promise<void> {
    const { path, temporaryPath } = this.#naming;
    try {
      await this.#connection.request<void>((sftp, done) => sftp.ext_openssh_hardlink(temporaryPath, path, done));
      return;
    } catch (error) {
      if (isOperatingError(error)) throw error;
      if (statusOf(error) === STATUS.noSuchFile && isFirst) throw vanished(error);
      const isTaken = statusOf(error) !== STATUS.unsupported && (await this.#exists(path));
      // An answer may have been lost: then the name is taken by our own file.
      if (isTaken && !isFirst && (await this.isOurs())) return;
      if (isTaken) throw isThere(error);
    }
    // A server without this extension, or a file system without hard links.
    await this.#renameIfAbsent(isFirst);
  }

  async replace(isFirst: boolean): Promise<void> {
    const { path, temporaryPath } = this.#naming;
    try {
      await this.#connection.request<void>((sftp, done) => sftp.ext_openssh_rename(temporaryPath, path, done));
    } catch (error) {
      if (isOperatingError(error)) throw error;
      if (statusOf(error) === STATUS.noSuchFile && !isFirst && (await this.#exists(path))) return;
      if (statusOf(error) === STATUS.noSuchFile) throw vanished(error);
      if (statusOf(error) !== STATUS.unsupported) throw error;
      await this.#renameOnly();
    }
  }

  /** Throws "storage_failed" where a mark does not come back. */
  async refuseLostMark(): Promise<void> {
    const { markSeconds, path } = this.#naming;
    await this.#mark(path, markSeconds);
    if (await this.#hasMark()) return;
    throw new OperatingError("storage_failed", `it has lost the mark that tells whose object it is`, {
      detail: "The server does not keep the modification time that a file is given.",
      hint: "Use a server that does, such as OpenSSH.",
    });
  }

  async isOurs(): Promise<boolean> {
    const { markSeconds, temporaryPath } = this.#naming;
    if ((await unlessMissing(this.#mark(temporaryPath, markSeconds).then(() => true))) === null) return false;
    return await this.#hasMark();
  }

  /** The mark is set before: with the rename, the unfinished file's name is gone. */
  async #renameIfAbsent(isFirst: boolean): Promise<void> {
    const { markSeconds, temporaryPath } = this.#naming;
    const isRenamed = (await unlessMissing(this.#mark(temporaryPath, markSeconds).then(() => true))) === null;
    if (isRenamed && (isFirst || !(await this.#hasMark()))) throw vanished();
    if (!isRenamed) await this.#rename();
    // Servers that look and then rename let two pass at once: the one whose file it is not is told.
    if (!(await this.#hasMark())) throw isThere();
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
      await this.#connection.request<void>((sftp, done) => sftp.rename(temporaryPath, path, done));
    } catch (error) {
      if (isOperatingError(error)) throw error;
      if (statusOf(error) === STATUS.noSuchFile) throw vanished(error);
      throw (await this.#exists(path)) ? isThere(error) : error;
    }
  }

  async #exists(path: string): Promise<boolean> {
    return (await this.#requests.look(this.#connection, path)) !== null;
  }

  async #hasMark(): Promise<boolean> {
    const { markSeconds, path } = this.#naming;
    return (await this.#requests.look(this.#connection, path))?.mtime === markSeconds;
  }

  async #mark(path: string, seconds: number): Promise<void> {
    const times = { atime: seconds, mtime: seconds };
    await this.#connection.request<void>((sftp, done) => sftp.setstat(path, times, done));
  }
}

/** A mark for a file: within the last days, so that nobody takes the file for old, and unlike that of any other. */
export function newMark(): number {
  return nowSeconds() - randomInt(1, MARK_AGE_SECONDS_MAX);
}

/** The unfinished file is gone: somebody removed it. */
export function vanished(cause?: unknown): OperatingError {
  return new OperatingError("storage_failed", "the unfinished file is gone", {
    hint: "Somebody removed it from the server, or its folder. Run the command again.",
    cause,
  });
}

function isThere(cause?: unknown): OperatingError {
  return new OperatingError("repository_exists", "it is there already", { cause });
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
