// PostgreSQL refuses to run as root: then its programs run as another user, who must be able to reach them.

import { cp, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { OperatingError } from "../../base/errors.ts";
import type { ServerBinaries } from "./server-binaries.ts";

const CANDIDATES = ["postgres", "nobody"];
const OTHERS_MAY_ENTER = 0o001;

/** A user of the operating system. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** Whom the server runs as: null for ourselves, and another one when we are root. */
export async function chooseServerUser(): Promise<ServerUser | null> {
  if (process.getuid?.() !== 0) return null;
  const users = await readFile("/etc/passwd", "utf8").catch(() => ""); // without it there is nobody to choose from
  for (const name of CANDIDATES) {
    const line = users.split("\n").find((candidate) => candidate.startsWith(`${name}:`));
    const [, , uid, gid] = line?.split(":") ?? [];
    if (uid !== undefined && gid !== undefined && Number(uid) > 0) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new OperatingError("preflight_failed", "PostgreSQL cannot run as root, and there is no other user for it", {
    hint: "Run as an ordinary user, or make a user named postgres.",
  });
}

/** The folder of the programs as the user can use it: theirs, or a copy in `copyDirectory` when it is closed to the user. */
export async function reachableBinaries(
  binaries: ServerBinaries,
  user: ServerUser | null,
  copyDirectory: string,
): Promise<string> {
  if (user === null || (await isReachable(binaries.directory, user))) return binaries.directory;
  await cp(binaries.installationDirectory, copyDirectory, { recursive: true, verbatimSymlinks: true });
  return join(copyDirectory, "bin");
}

async function isReachable(path: string, user: ServerUser): Promise<boolean> {
  for (let folder = path; ; folder = dirname(folder)) {
    const status = await stat(folder);
    const isOwner = status.uid === user.uid;
    if ((status.mode & OTHERS_MAY_ENTER) === 0 && !isOwner) return false;
    if (folder === dirname(folder)) return true;
  }
}
