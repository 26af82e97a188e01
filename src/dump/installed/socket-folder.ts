// The private folder of the socket by which an installed pg_dump reaches the relay, and the sweeping of those that runs
// ended by SIGKILL or a power failure left behind. Swept is only what is certainly such a folder: by name, owner, mode
// and age, holding nothing but a socket that nobody listens on. Links are not followed, other files never removed.

import { lstat, mkdtemp, readdir, rmdir, unlink } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The name that libpq makes of port 5432. */
export const SOCKET_NAME = ".s.PGSQL.5432";

const FOLDER_PREFIX = "cairn-socket-";
const FOLDER_NAME = /^cairn-socket-[A-Za-z0-9]{6}$/; // mkdtemp's six characters
const FOLDER_NAME_LENGTH = 19;
/** sun_path holds 107 bytes on Linux and 103 on macOS, with a zero behind them. */
const SOCKET_PATH_LENGTH_MAX = 103;

/** A folder so young may belong to a run that is about to listen. */
const DEAD_AGE_MS_MIN = 10 * 60_000;
const SWEPT_COUNT_MAX = 100;
const PROBE_TIMEOUT_MS = 1000;

/** Makes a folder that only this user can enter, with a path short enough for a socket in it. */
export async function makeSocketFolder(): Promise<string> {
  return await mkdtemp(join(parentFolder(), FOLDER_PREFIX)); // mkdtemp makes it 0700
}

/** Removes what dead runs left in a folder; the one of makeSocketFolder() by default. Never throws: a run goes on without. */
export async function sweepSocketFolders(parent: string = parentFolder()): Promise<void> {
  try {
    const names = (await readdir(parent)).filter((name) => FOLDER_NAME.test(name));
    for (const name of names.slice(0, SWEPT_COUNT_MAX)) await sweep(join(parent, name));
  } catch {
    // The folder cannot be read: making ours in it will say why.
  }
}

function parentFolder(): string {
  const lengthBytes = Buffer.byteLength(tmpdir()) + FOLDER_NAME_LENGTH + SOCKET_NAME.length + 2;
  return lengthBytes > SOCKET_PATH_LENGTH_MAX ? "/tmp" : tmpdir();
}

async function sweep(folder: string): Promise<void> {
  try {
    const status = await lstat(folder);
    const isOurs = status.isDirectory() && status.uid === process.getuid?.() && (status.mode & 0o7777) === 0o700;
    if (!isOurs || Date.now() - status.mtimeMs < DEAD_AGE_MS_MIN) return;
    const names = await readdir(folder);
    if (names.some((name) => name !== SOCKET_NAME)) return;
    const socket = join(folder, SOCKET_NAME);
    if (names.length > 0) {
      if (!(await lstat(socket)).isSocket() || !(await isDeserted(socket))) return;
      await unlink(socket);
    }
    await rmdir(folder);
  } catch {
    // Another run swept it first, or it may not be touched: it is no concern of this run.
  }
}

/** True only when the system says that nobody listens. */
function isDeserted(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (answer: boolean): void => {
      resolve(answer);
      socket.destroy();
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => settle(false));
    socket.on("connect", () => settle(false));
    socket.on("error", (error: NodeJS.ErrnoException) => settle(error.code === "ECONNREFUSED"));
  });
}
