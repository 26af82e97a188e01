// Why a write failed. SFTP has one status for a full disk, a quota, a limit on the size of files and a broken disk: how
// much room is left tells the first from the others.

import { OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { parentOf } from "./folders.ts";
import type { SftpConnection } from "./sftp-connection.ts";
import { STATUS, statusOf } from "./sftp-errors.ts";

/** Less is as good as none: a file system keeps some for itself. */
const FREE_BYTES_MIN = 1 * MIB;

/** What of SSH_FXP_EXTENDED_REPLY to statvfs@openssh.com is needed. Source: OpenSSH's PROTOCOL. */
interface FileSystem {
  readonly f_frsize: number;
  readonly f_bavail: number;
}

/** Bytes free where a path is; null where the server does not tell. Throws what the connection does. */
export async function freeSpaceAt(connection: SftpConnection, path: string): Promise<number | null> {
  try {
    const found = await connection.request<FileSystem>((sftp, done) => sftp.ext_openssh_statvfs(path, done));
    const freeBytes = found.f_bavail * found.f_frsize;
    return Number.isFinite(freeBytes) && freeBytes >= 0 ? freeBytes : null;
  } catch (error) {
    if (statusOf(error) === STATUS.noSuchFile && path !== "/" && path !== ".") {
      return await freeSpaceAt(connection, parentOf(path) || ".");
    }
    if (statusOf(error) !== 0) return null;
    throw error;
  }
}

/** The error to throw for a write that failed. */
export async function writeFailure(
  error: unknown,
  connection: SftpConnection,
  { action, path }: { readonly action: string; readonly path: string },
): Promise<unknown> {
  if (statusOf(error) !== STATUS.failure) return error;
  const freeBytes = await freeSpaceAt(connection, parentOf(path));
  if (freeBytes !== null && freeBytes < FREE_BYTES_MIN) {
    return new OperatingError("no_space", `${action}: no space is left on the server`, {
      hint: "Free some space there and run it again; what was there before is untouched.",
      cause: error,
    });
  }
  return new OperatingError("storage_failed", `${action}: the server could not write`, {
    detail: "It does not say why.",
    hint: "Look for a quota of the user, a limit on the size of files (ulimit -f), and the server's disk.",
    cause: error,
  });
}
