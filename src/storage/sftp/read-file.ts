// Reads a file, or exactly a range of it, with many requests on their way: with one at a time, each would cost a journey
// to the server and back.

import { createHash } from "node:crypto";
import type { Stats } from "ssh2";
import { OperatingError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { checkRange } from "../byte-range.ts";
import type { ByteRange } from "../storage.ts";
import type { SftpConnection } from "./sftp-connection.ts";
import { STATUS, statusOf } from "./sftp-errors.ts";
import { withHandle } from "./sftp-requests.ts";

/** What is on its way of one file: more than SSH lets on its way of all (2 MiB, OpenSSH). */
export const IN_FLIGHT_BYTES_MAX = 4 * MIB;
const OPEN_READ = "r";

/** Throws OperatingError "corrupt" for what cannot be read in one piece. */
/** Reads a file's range, without one all of it. `action`: "could not read …", for messages. */
export async function readFileAt(
  connection: SftpConnection,
  path: string,
  action: string,
  range?: ByteRange,
): Promise<Uint8Array> {
  return await withHandle(
    connection,
    (sftp, done) => sftp.open(path, OPEN_READ, done),
    async (handle) => {
      if (range !== undefined) return await readRange(connection, handle, { action, ...range });
      const { size: lengthBytes } = await connection.request<Stats>((sftp, done) => sftp.fstat(handle, done));
      checkRange(action, { offset: 0, lengthBytes });
      return await readRange(connection, handle, { action, offset: 0, lengthBytes });
    },
  );
}

/** The SHA-256 of a file, read piece by piece. */
export async function hashFile(connection: SftpConnection, path: string, sizeBytes: number): Promise<Buffer> {
  const hash = createHash("sha256");
  const action = "could not read back what was written";
  await withHandle(
    connection,
    (sftp, done) => sftp.open(path, OPEN_READ, done),
    async (handle) => {
      for (let offset = 0; offset < sizeBytes; offset += IN_FLIGHT_BYTES_MAX) {
        const lengthBytes = Math.min(IN_FLIGHT_BYTES_MAX, sizeBytes - offset);
        hash.update(await readRange(connection, handle, { action, offset, lengthBytes }));
      }
    },
  );
  return hash.digest();
}

interface RangeToRead extends ByteRange {
  readonly action: string;
}

async function readRange(connection: SftpConnection, handle: Buffer, range: RangeToRead): Promise<Uint8Array> {
  const { lengthBytes } = range;
  const bytes = Buffer.allocUnsafeSlow(lengthBytes);
  const { pieceBytes } = connection;
  const readers = Math.min(Math.ceil(lengthBytes / pieceBytes), Math.floor(IN_FLIGHT_BYTES_MAX / pieceBytes));
  let next = 0;
  const readPieces = async (): Promise<void> => {
    while (next < lengthBytes) {
      const start = next;
      next = Math.min(start + pieceBytes, lengthBytes);
      const end = next;
      try {
        await fill(connection, handle, range, { bytes, start, end });
      } catch (error) {
        next = lengthBytes;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: readers }, readPieces));
  return bytes;
}

interface Piece {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** Servers may send less than they were asked for; none at all is the end of the file. */
async function fill(
  connection: SftpConnection,
  handle: Buffer,
  { action, lengthBytes, offset }: RangeToRead,
  { bytes, end, start }: Piece,
): Promise<void> {
  for (let at = start; at < end;) {
    const count = await connection
      .request<number>((sftp, done) => sftp.read(handle, bytes, at, end - at, offset + at, done))
      .catch((error: unknown) => {
        if (statusOf(error) === STATUS.endOfFile) return 0;
        throw error;
      });
    if (count <= 0 || count > end - at) {
      throw new OperatingError("corrupt", `${action}: it ends at ${offset + at}, before byte ${offset + lengthBytes}`);
    }
    at += count;
  }
}
