// Folders that survive a power cut: a new folder is there only when its parent was synced after it was made.

import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { systemCode } from "./errors.ts";

/** Only the owner reads backups. */
const FOLDER_MODE = 0o700;

/** Syncs a folder, so that the names in it are durable. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems cannot sync folders and say so; there is nothing better to do on them.
    if (!["EINVAL", "ENOTSUP"].includes(systemCode(error))) throw error;
  } finally {
    await handle.close();
  }
}

/** Makes folders and their missing parents, each synced into its parent once per process. */
export class DurableFolders {
  readonly #known = new Map<string, Promise<void>>();

  /** Makes sure that the folder is there, durably. */
  async ensure(path: string): Promise<void> {
    let made = this.#known.get(path);
    if (made === undefined) {
      made = this.#make(path);
      this.#known.set(path, made);
      made.catch(() => this.#known.delete(path));
    }
    await made;
  }

  async #make(path: string): Promise<void> {
    const parent = dirname(path);
    let failure = await tryToMake(path);
    if (failure === "ENOENT" && parent !== path) {
      await this.ensure(parent);
      failure = await tryToMake(path);
    }
    // Where another process makes it at the same moment it is there, too; what is wrong otherwise is thrown.
    if (failure === "ENOENT") await mkdir(path, { mode: FOLDER_MODE });
    if (parent !== path) await syncFolder(parent);
  }
}

/** "EEXIST" and "ENOENT" are told, null: it was made. */
async function tryToMake(path: string): Promise<"EEXIST" | "ENOENT" | null> {
  try {
    await mkdir(path, { mode: FOLDER_MODE });
    return null;
  } catch (error) {
    const code = systemCode(error);
    if (code === "EEXIST" || code === "ENOENT") return code;
    throw error;
  }
}
