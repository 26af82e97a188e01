// cairn init: makes a repository, and hands over its recovery kit.

import { OperatingError } from "../../base/errors.ts";
import type { InitResult, InitSettings } from "../../operations/init/types.ts";
import type { OperationContext } from "../../operations/operation.ts";
import { allValues, hasFlag, lastValue } from "../command-line.ts";
import type { CommandLine } from "../command-line.ts";
import type { Caller } from "../caller.ts";
import { outputFlags, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE } from "../exit-status.ts";
import { otherRepositoryAt, otherRepositoryFlags } from "../other-repository.ts";
import { renderInit } from "../output/init.ts";
import { keepingKit, recoveryKitFileOf, recoveryKitFlag } from "../recovery-kit-file.ts";
import { askNewPassphrase, repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

/** init's own settings, and where its kit goes; null: to the terminal. */
export interface InitCommandSettings extends Omit<InitSettings, "kit"> {
  readonly recoveryKitFile: string | null;
}

/** init's result, and the file that the kit is in; null: it was shown, or there is none. */
export interface InitCommandResult extends InitResult {
  readonly recoveryKitFile: string | null;
}

const LIKE = "A second repository:";

export const init: Verb<InitCommandSettings, InitCommandResult> = {
  name: "init",
  description:
    "Makes a new repository. It is encrypted: without the passphrase or the recovery kit nobody can read it, " +
    "you neither. The recovery kit is a page to be kept apart from the repository, on paper for instance.",
  arguments: [],
  flags: [
    { long: "no-encryption", description: "make a repository that everybody who can reach it can read and forge" },
    {
      long: "recipient",
      value: "AGE",
      description:
        "an age recipient (age1…), whose identity opens the repository; may be repeated; then a passphrase is not asked",
    },
    recoveryKitFlag,
    {
      long: "like",
      value: "REPO",
      description: "with the id and the keys of this repository, so that copies between the two move as they are",
      group: LIKE,
    },
    ...otherRepositoryFlags("like", "that repository", LIKE),
    ...repositoryFlags,
    ...outputFlags,
  ],
  examples: [
    "cairn init --repo /backups",
    "cairn init --repo s3://my-bucket/cairn --like /backups --recovery-kit ~/cairn-recovery-kit-2.txt",
    "cairn init --repo /backups --recipient age1… --recovery-kit ~/cairn-recovery-kit.txt",
    "cairn init --repo /backups --passphrase-file ~/.cairn-passphrase --recovery-kit ~/cairn-recovery-kit.txt",
  ],
  readSettings,
  run,
  render: renderInit,
  exitStatus: () => EXIT_DONE,
};

function readSettings(line: CommandLine, caller: Caller): InitCommandSettings {
  const access = repositoryOf(line, caller);
  const recipients = allValues(line, "recipient");
  if (hasFlag(line, "no-encryption")) {
    refuseKeysWithoutEncryption(line);
    if (access.givenPassphrase !== null) {
      throw new OperatingError("usage", "a passphrase was given together with --no-encryption", {
        hint: "Leave one of them out; look at --passphrase-file and CAIRN_PASSPHRASE.",
      });
    }
    return { repository: access, isEncrypted: false, recipients, like: likeOf(line, caller), recoveryKitFile: null };
  }
  const recoveryKitFile = recoveryKitFileOf(line, caller);
  const repository = { ...access, askPassphrase: () => askNewPassphrase(caller) };
  return { repository, isEncrypted: true, recipients, like: likeOf(line, caller), recoveryKitFile };
}

function likeOf(line: CommandLine, caller: Caller): InitSettings["like"] {
  const location = lastValue(line, "like");
  return location === null ? undefined : otherRepositoryAt(location, "like", { line, caller });
}

function refuseKeysWithoutEncryption(line: CommandLine): void {
  const flag = ["recovery-kit", "recipient"].find((name) => hasFlag(line, name));
  if (flag === undefined) return;
  throw new OperatingError("usage", `options --no-encryption and --${flag} cannot be used together`, {
    detail: "Without encryption there is nothing that a recovery kit or an identity would open.",
  });
}

async function run(
  context: OperationContext,
  { recoveryKitFile, ...settings }: InitCommandSettings,
  caller: Caller,
): Promise<InitCommandResult> {
  const { runInit } = await import("../../operations/init/index.ts");
  const made = await keepingKit(recoveryKitFile, caller, async (kit) => await runInit(context, { ...settings, kit }));
  return { ...made, recoveryKitFile };
}
