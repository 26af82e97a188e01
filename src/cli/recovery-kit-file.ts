// Where a recovery kit goes: it opens the repository without anything else, so it is shown to a person on a terminal or
// written to a new file that only the owner may read; never into a pipe, where a log might keep it.

import { open, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { OperatingError, messageOf } from "../base/errors.ts";
import type { Caller } from "./caller.ts";
import { hasFlag, lastValue } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
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

/** Does what makes a kit, and writes it to the file (null: leaves it in the result, to be shown). */
export async function keepingKit<T extends { readonly recoveryKit: string | null }>(
  path: string | null,
  work: () => Promise<T>,
): Promise<T & { readonly recoveryKitFile: string | null }> {
  if (path === null) return { ...(await work()), recoveryKitFile: path };
  // Made first: a file that cannot be written must not leave a repository behind whose kit is lost.
  const file = await openKitFile(path);
  let isWritten = false;
  try {
    const result = await work();
    await file.writeFile(result.recoveryKit ?? "");
    await file.sync();
    isWritten = true;
    return { ...result, recoveryKit: null, recoveryKitFile: path };
  } finally {
    await file.close();
    if (!isWritten) await rm(path, { force: true });
  }
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
