// What a machine remembers of the repositories that it opened: the data key, by its id, which is no secret. A repository
// that is opened again has to have it still, as its current key or an earlier one: so another one put in its place, or
// older keys put back, are noticed, however they open. The first time is believed, as with host keys. What cannot be read or
// written is not remembered; a file may be deleted at any time, and that says that what is there now is believed.

import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { OperatingError } from "../base/errors.ts";
import type { Keyring } from "./keys.ts";

const NONE = "none";

/** The memory of one location. */
export class KeyMemory {
  readonly #folder: string;
  readonly #location: string;
  readonly #path: string;

  constructor(folder: string, location: string) {
    this.#folder = folder;
    this.#location = location;
    this.#path = join(folder, createHash("sha256").update(location).digest("hex").slice(0, 32));
  }

  /** Throws OperatingError "wrong_key" when another repository was here before; else remembers this one. */
  async check(keyring: Keyring): Promise<void> {
    const remembered = await this.#recall();
    const current = idOf(keyring);
    if (remembered === current) return;
    const isKnown = remembered === null || remembered === NONE || keyring.dataKeys.has(remembered);
    if (isKnown) return await this.remember(keyring);
    const what = current === NONE ? "it is not encrypted" : "it has another data key";
    throw new OperatingError(
      "wrong_key",
      `the repository in ${this.#location} is not the one that was here before: ${what}`,
      {
        detail: "Somebody may have put another repository in its place, or older keys back.",
        hint: `If that was you, delete "${this.#path}", which remembers the data key.`,
      },
    );
  }

  /** From now on this is what is here. */
  async remember(keyring: Keyring): Promise<void> {
    const partial = `${this.#path}.${randomBytes(6).toString("hex")}`;
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await writeFile(partial, `${idOf(keyring)} ${this.#location}\n`, { mode: 0o600, flag: "wx" });
      await rename(partial, this.#path);
    } catch {
      // No home, a full disk: then the next time is the first.
    }
  }

  /** A data key's id, NONE, or null when nothing is remembered. */
  async #recall(): Promise<string | null> {
    const text = await readFile(this.#path, "latin1").catch(() => "");
    return /^(none|[0-9a-f]{32}) /.exec(text)?.[1] ?? null;
  }
}

function idOf({ current }: Keyring): string {
  return current === null ? NONE : Buffer.from(current.id).toString("hex");
}
