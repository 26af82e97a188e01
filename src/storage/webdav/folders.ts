// Makes the folders that objects need, each once in the life of a storage (MKCOL). A folder that somebody removes
// meanwhile is made again when the server misses it (409).

import { isOperatingError } from "../../base/errors.ts";
import type { WebdavRequests } from "./webdav-requests.ts";

/** MKCOL of a folder that is there; some servers send clients to the address that ends with a slash. */
const IS_THERE = [405, 301];
const MADE = 201;
const PARENT_IS_MISSING = 409;

/** See the head of this file. Paths are decoded and end with "/". */
export class Folders {
  readonly #requests: WebdavRequests;
  readonly #made = new Map<string, Promise<void>>();

  constructor(requests: WebdavRequests) {
    this.#requests = requests;
  }

  /** Makes the folder of a path, and those above it, where they are not known to be there. */
  async ensureFor(path: string): Promise<void> {
    await this.#ensure(folderOf(path));
  }

  /** Forgets what is known of the folder of a path, because the server misses it. */
  forget(path: string): void {
    for (let folder = folderOf(path); folder !== "/"; folder = parentOf(folder)) this.#made.delete(folder);
  }

  async #ensure(folder: string): Promise<void> {
    if (folder === "/") return;
    // Many writers begin at once; one makes it, and not on the signal of any of them.
    const making = this.#made.get(folder) ?? this.#make(folder);
    this.#made.set(folder, making);
    try {
      await making;
    } catch (error) {
      if (this.#made.get(folder) === making) this.#made.delete(folder);
      throw error;
    }
  }

  async #make(folder: string): Promise<void> {
    const above = parentOf(folder);
    if ((await this.#order(folder, above === "/" ? [] : [PARENT_IS_MISSING])) !== PARENT_IS_MISSING) return;
    await this.#ensure(above);
    await this.#order(folder, []);
  }

  async #order(folder: string, expected: readonly number[]): Promise<number> {
    const action = `could not make the folder "${folder}"`;
    try {
      return await this.#requests.order({ action }, { method: "MKCOL", path: folder }, [...IS_THERE, ...expected]);
    } catch (error) {
      // Of two that make it at once, servers tell the second one all sorts of things.
      if (isOperatingError(error) && (await this.#requests.isFolder(folder, action))) return MADE;
      throw error;
    }
  }
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

function parentOf(folder: string): string {
  return folderOf(folder.slice(0, -1));
}
