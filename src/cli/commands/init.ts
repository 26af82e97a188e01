// cairn init: makes a repository, and hands over its recovery kit. The kit opens the repository without the passphrase,
// so it goes to a person's terminal or to a file that only the owner may read; never into a pipe, where a log might keep it.

import { open, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { OperatingError, messageOf } from "../../base/errors.ts";
import type { InitResult, InitSettings } from "../../operations/init/types.ts";
import type { OperationContext } from "../../operations/operation.ts";
import { hasFlag, lastValue } from "../command-line.ts";
import type { CommandLine } from "../command-line.ts";
import type { Caller } from "../caller.ts";
import { outputFlags, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE } from "../exit-status.ts";
import { renderInit } from "../output/init.ts";
import { askNewPassphrase, repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

/** init's own settings, and where its kit goes; null: to the terminal. */
export interface InitCommandSettings extends InitSettings {
  readonly recoveryKitFile: string | null;
}

/** init's result; the kit itself is left out when it was written to a file. */
export interface InitCommandResult extends InitResult {
  readonly recoveryKitFile: string | null;
}

export const init: Verb<InitCommandSettings, InitCommandResult> = {
  name: "init",
  description:
    "Makes a new repository. It is encrypted: without the passphrase or the recovery kit nobody can read it, " +
    "you neither. The recovery kit is a page to be kept apart from the repository, on paper for instance.",
  arguments: [],
  flags: [
    { long: "no-encryption", description: "make a repository that everybody who can reach it can read and forge" },
    {
      long: "recovery-kit",
      value: "FILE",
      description: "write the recovery kit to this new file, readable by you alone (default: shown on the terminal)",
    },
    ...repositoryFlags,
    ...outputFlags,
  ],
  examples: [
    "cairn init --repo /backups",
    "cairn init --repo /backups --passphrase-file ~/.cairn-passphrase --recovery-kit ~/cairn-recovery-kit.txt",
  ],
  readSettings,
  run,
  render: renderInit,
  exitStatus: () => EXIT_DONE,
};

function readSettings(line: CommandLine, caller: Caller): InitCommandSettings {
  const access = repositoryOf(line, caller);
  const recoveryKitFile = lastValue(line, "recovery-kit");
  if (hasFlag(line, "no-encryption")) {
    refuseKitWithoutEncryption(line);
    if (access.givenPassphrase !== null) {
      throw new OperatingError("usage", "a passphrase was given together with --no-encryption", {
        hint: "Leave one of them out; look at --passphrase-file and CAIRN_PASSPHRASE.",
      });
    }
    return { repository: access, isEncrypted: false, recoveryKitFile: null };
  }
  if (recoveryKitFile === null && (!caller.isOutputTerminal || hasFlag(line, "json"))) refuseKitInPipe();
  const repository = { ...access, askPassphrase: () => askNewPassphrase(caller) };
  return { repository, isEncrypted: true, recoveryKitFile };
}

function refuseKitWithoutEncryption(line: CommandLine): void {
  if (!hasFlag(line, "recovery-kit")) return;
  throw new OperatingError("usage", "options --no-encryption and --recovery-kit cannot be used together", {
    detail: "Without encryption there is nothing that a recovery kit would open.",
  });
}

function refuseKitInPipe(): never {
  throw new OperatingError("usage", "the recovery kit is shown on a terminal only, or written to a file", {
    detail: "The kit opens the repository without the passphrase; in a pipe or a log it would open it for others too.",
    hint: "Name a file for it with --recovery-kit FILE. Nothing was made.",
  });
}

async function run(context: OperationContext, settings: InitCommandSettings): Promise<InitCommandResult> {
  const { recoveryKitFile, ...initSettings } = settings;
  const { runInit } = await import("../../operations/init/index.ts");
  if (recoveryKitFile === null) return { ...(await runInit(context, initSettings)), recoveryKitFile };
  // Made first: a file that cannot be written must not leave a repository behind whose kit is lost.
  const file = await openKitFile(recoveryKitFile);
  let isWritten = false;
  try {
    const result = await runInit(context, initSettings);
    await file.writeFile(result.recoveryKit ?? "");
    await file.sync();
    isWritten = true;
    return { ...result, recoveryKit: null, recoveryKitFile };
  } finally {
    await file.close();
    if (!isWritten) await rm(recoveryKitFile, { force: true });
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
