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
    try {
      await mkdir(path, { mode: FOLDER_MODE });
    } catch (error) {
      if (systemCode(error) === "ENOENT" && parent !== path) {
        await this.ensure(parent);
        await mkdir(path, { mode: FOLDER_MODE });
      } else if (systemCode(error) !== "EEXIST") {
        throw error;
      }
    }
    if (parent !== path) await syncFolder(parent);
  }
}
