// Where a recovery kit goes: it opens the repository without anything else, so it is shown to a person on a terminal or
// written to a new file that only the owner may read; never into a pipe, where a log might keep it.

import { open, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { OperatingError, messageOf } from "../base/errors.ts";
import type { KitKeeper } from "../repository/index.ts";
import type { Caller } from "./caller.ts";
import { hasFlag, lastValue } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
import { sanitizeText } from "./output/sanitize.ts";
import type { FlagSpec } from "./verb.ts";

export const recoveryKitFlag: FlagSpec = {
  long: "recovery-kit",
  value: "FILE",
  description: "write the recovery kit to this new file, readable by you alone (default: shown on the terminal)",
};

/** The file for the kit; null: the terminal. Throws OperatingError "usage" where it would go into a pipe. */
export function recoveryKitFileOf(line: CommandLine, caller: Caller): string | null {
  const path = lastValue(line, "recovery-kit");
  if (path !== null || (caller.isOutputTerminal && !hasFlag(line, "json"))) return path;
  throw new OperatingError("usage", "the recovery kit is shown on a terminal only, or written to a file", {
    detail: "The kit opens the repository without the passphrase; in a pipe or a log it would open it for others too.",
    hint: "Name a file for it with --recovery-kit FILE. Nothing was made.",
  });
}

/**
 * Does what makes a kit, which is written to the file, or shown (null), before its key comes into use; so it is there
 * whatever happens then. A file whose key surely did not come into use is removed again.
 */
export async function keepingKit<T>(
  path: string | null,
  caller: Pick<Caller, "notify" | "showText">,
  work: (kit: KitKeeper) => Promise<T>,
): Promise<T> {
  if (path === null) return await work(kitShower(caller));
  // Made first: a file that cannot be written must not leave a repository behind whose kit is lost.
  await using file = new KitFile(path, await openKitFile(path));
  try {
    return await work(file);
  } catch (error) {
    if (file.isKept) {
      const hint = "Nobody can say whether its key is in use: keep it until that is settled.";
      caller.notify({ severity: "warning", message: `the recovery kit is in "${path}"`, hint });
    }
    throw error;
  }
}

/** A kit in a new file, which goes again unless the kit is in it and its key may be in use. */
class KitFile implements KitKeeper, AsyncDisposable {
  isKept = false;
  readonly #path: string;
  readonly #file: FileHandle;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  async keep(recoveryKit: string): Promise<void> {
    await this.#file.writeFile(recoveryKit);
    await this.#file.sync();
    this.isKept = true;
  }

  async discard(): Promise<void> {
    this.isKept = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    if (!this.isKept) await rm(this.#path, { force: true });
  }
}

function kitShower({ notify, showText }: Pick<Caller, "notify" | "showText">): KitKeeper {
  return {
    keep: async (recoveryKit) => await showText(sanitizeText(`${recoveryKit.trimEnd()}\n\n`)),
    discard: async () => {
      const message = "the recovery kit that was shown is of no use: its key did not come into use";
      notify({ severity: "warning", message });
    },
  };
}

async function openKitFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, "wx", 0o600);
  } catch (error) {
    throw new OperatingError("usage", `could not make the recovery kit's file "${path}": ${messageOf(error)}`, {
      hint: "Name a new file in a folder that exists. Nothing was made.",
    });
  }
}
