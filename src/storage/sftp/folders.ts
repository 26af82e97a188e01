// Folders on the server: made durably as they are needed, and walked through in the order of whole names. SFTP lists a
// folder in no order: its names are in memory at once, and those of a few folders that come next.

import type { FileEntryWithStats, Stats } from "ssh2";
import { OperatingError } from "../../base/errors.ts";
import type { SftpConnection } from "./sftp-connection.ts";
import { sftpError, STATUS, statusOf } from "./sftp-errors.ts";
import { withHandle } from "./sftp-requests.ts";
import type { SftpRequests } from "./sftp-requests.ts";

/** Only the owner reads backups. */
const FOLDER_MODE = 0o700;
const FOLDER_NAMES_MAX = 2_000_000;
/** Folders that are listed before they are asked for. */
const AHEAD_MAX = 6;
/** What is neither an object's part nor a file that is being written is not ours, and passed over. */
const PART = /^(?:[A-Za-z0-9_-]|\.cairn-tmp-)[A-Za-z0-9._-]*$/;

/** A file below the root. */
export interface FoundFile {
  /** Path below the root. */
  readonly name: string;
  readonly fileName: string;
  readonly sizeBytes: number;
  /** By the server's clock; 0 where it does not tell. */
  readonly modifiedAtMs: number;
}

interface Entry {
  readonly fileName: string;
  readonly isFolder: boolean;
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
}

/** Makes folders and their missing parents, each synced into its parent once per storage. */
export class SftpFolders {
  readonly #requests: SftpRequests;
  readonly #known = new Map<string, Promise<void>>();

  constructor(requests: SftpRequests) {
    this.#requests = requests;
  }

  /** Makes sure that the folder is there, durably. */
  async ensure(path: string, signal?: AbortSignal): Promise<void> {
    let made = this.#known.get(path);
    if (made === undefined) {
      // Others wait for it too: one's signal does not end it.
      made = this.#requests.run({ action: `could not make the folder "${path}"` }, async (connection) => {
        await this.#make(connection, path);
      });
      this.#known.set(path, made);
      made.catch(() => this.#known.delete(path));
    }
    await untilAborted(made, signal);
  }

  /** Forgets a folder that somebody removed. */
  forget(path: string): void {
    for (let folder = path; folder !== ""; folder = parentOf(folder)) this.#known.delete(folder);
  }

  async #make(connection: SftpConnection, path: string): Promise<void> {
    if (await this.#isThere(connection, path)) return;
    const parent = parentOf(path);
    // Made one after the other, from above; somebody else may be at it too.
    if (parent !== "" && parent !== "/") await this.#make(connection, parent);
    try {
      await connection.request<void>((sftp, done) => sftp.mkdir(path, { mode: FOLDER_MODE }, done));
    } catch (error) {
      if (!(await this.#isThere(connection, path))) throw error;
    }
    await syncFolder(connection, parent === "" ? "." : parent);
  }

  async #isThere(connection: SftpConnection, path: string): Promise<boolean> {
    const found = await this.#requests.look(connection, path);
    if (found === null || found.isDirectory()) return found !== null;
    throw new OperatingError("storage_failed", `"${path}" is no folder`);
  }
}

async function untilAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    signal?.throwIfAborted();
    await Promise.race([work, promise]);
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

/** The folder above; "" above a relative path's first part, and above "/". */
export function parentOf(path: string): string {
  const end = path.lastIndexOf("/");
  return end === 0 && path !== "/" ? "/" : path.slice(0, Math.max(end, 0));
}

/** Syncs a folder, so that the names in it are durable; servers that cannot open folders as files have no way to. */
export async function syncFolder(connection: SftpConnection, path: string): Promise<void> {
  const syncing = withHandle(
    connection,
    (sftp, done) => sftp.open(path, "r", done),
    async (handle) => {
      await connection.request<void>((sftp, done) => sftp.ext_openssh_fsync(handle, done), true);
    },
  );
  await syncing.catch((error: unknown) => {
    if (error instanceof OperatingError) throw error;
  });
}

/** All files below a folder ("" or ending with "/") that can have the prefix, in the order of their whole names. */
export async function* walk(
  requests: SftpRequests,
  folder: string,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<FoundFile> {
  yield* walkEntries(requests, { folder, prefix, signal }, await listFolder(requests, folder, signal));
}

interface Walk {
  readonly folder: string;
  readonly prefix: string;
  readonly signal: AbortSignal | undefined;
}

async function* walkEntries(
  requests: SftpRequests,
  { folder, prefix, signal }: Walk,
  entries: readonly Entry[],
): AsyncGenerator<FoundFile> {
  const innerOf = ({ fileName }: Entry): string => `${folder}${fileName}/`;
  const inside = entries.filter((entry) => entry.isFolder && canHold(innerOf(entry), prefix));
  const ahead: Promise<Entry[]>[] = [];
  let begun = 0;
  const begin = (): void => {
    while (begun < inside.length && ahead.length < AHEAD_MAX) {
      const listing = listFolder(requests, innerOf(inside[begun]!), signal);
      listing.catch(() => undefined);
      ahead.push(listing);
      begun += 1;
    }
  };
  for (const entry of entries) {
    if (!entry.isFolder) {
      yield { ...entry, name: folder + entry.fileName };
      continue;
    }
    if (!canHold(innerOf(entry), prefix)) continue;
    begin();
    const listing = await ahead.shift()!;
    yield* walkEntries(requests, { folder: innerOf(entry), prefix, signal }, listing);
  }
}

function canHold(inner: string, prefix: string): boolean {
  return inner.startsWith(prefix) || prefix.startsWith(inner);
}

/** The entries of a folder, sorted, each once; none where it is missing. */
async function listFolder(requests: SftpRequests, folder: string, signal: AbortSignal | undefined): Promise<Entry[]> {
  const path = folder === "" ? requests.location.root : `${requests.location.root}/${folder.slice(0, -1)}`;
  const action = `could not list "${folder}"`;
  const entries = await requests.run({ action, signal }, async (connection) => {
    try {
      return await readFolder(requests, connection, path);
    } catch (error) {
      if (statusOf(error) === STATUS.noSuchFile) return [];
      throw sftpError(error, action);
    }
  });
  const key = ({ fileName, isFolder }: Entry): string => (isFolder ? `${fileName}/` : fileName);
  // Some servers name a file twice that changes while they list it.
  const once = new Map(entries.map((entry) => [key(entry), entry]));
  return [...once.values()].toSorted((one, other) => (key(one) < key(other) ? -1 : 1));
}

async function readFolder(requests: SftpRequests, connection: SftpConnection, path: string): Promise<Entry[]> {
  const read = async (handle: Buffer): Promise<Entry[]> => {
    const entries: Entry[] = [];
    for (;;) {
      const page = await readPage(connection, handle);
      if (page === null) return entries;
      for (const { attrs, filename } of page) {
        if (!PART.test(filename)) continue;
        const said = entryOf(filename, attrs);
        const entry = said === "unsaid" ? await lookAtEntry(requests, connection, `${path}/${filename}`) : said;
        if (entry !== null) entries.push(entry);
      }
      if (entries.length > FOLDER_NAMES_MAX) {
        throw new OperatingError("storage_failed", `"${path}" holds more than ${FOLDER_NAMES_MAX} names`);
      }
    }
  };
  return await withHandle(connection, (sftp, done) => sftp.opendir(path, done), read);
}

async function readPage(connection: SftpConnection, handle: Buffer): Promise<FileEntryWithStats[] | null> {
  try {
    return await connection.request<FileEntryWithStats[]>((sftp, done) => sftp.readdir(handle, done));
  } catch (error) {
    if (statusOf(error) === STATUS.endOfFile) return null;
    throw error;
  }
}

/** Null for what is neither file nor folder, such as links; "unsaid" where the server did not say it with the name. */
function entryOf(fileName: string, attributes: Stats): Entry | "unsaid" | null {
  const { mode, mtime, size } = attributes as Partial<Stats>;
  if (mode === undefined || size === undefined) return "unsaid";
  const isFolder = attributes.isDirectory();
  if (!isFolder && !attributes.isFile()) return null;
  return { fileName, isFolder, sizeBytes: size, modifiedAtMs: (mtime ?? 0) * 1000 };
}

async function lookAtEntry(requests: SftpRequests, connection: SftpConnection, path: string): Promise<Entry | null> {
  const found = await requests.look(connection, path);
  if (found === null) return null;
  const entry = entryOf(path.slice(path.lastIndexOf("/") + 1), found);
  if (entry !== "unsaid") return entry;
  throw new OperatingError("storage_failed", `the server does not say what "${path}" is, and its size`);
}
