// cairn key: lists, adds and removes what opens a repository, and puts a new data key into use.

import { OperatingError } from "../../base/errors.ts";
import type { KeyChange, KeyReport, KeySettings } from "../../operations/key/types.ts";
import { hasFlag, lastValue } from "../command-line.ts";
import type { CommandLine } from "../command-line.ts";
import type { Caller } from "../caller.ts";
import { outputFlags, refuseBoth, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE } from "../exit-status.ts";
import { renderKey } from "../output/key.ts";
import { keepingKit, recoveryKitFileOf, recoveryKitFlag } from "../recovery-kit-file.ts";
import { askNewPassphrase, readPassphraseFile, repositoryOf } from "../repository-access.ts";
import type { FlagSpec, Verb } from "../verb.ts";

/** key's own settings, and where a new recovery kit goes; null: to the terminal. */
export interface KeyCommandSettings extends Omit<KeySettings, "kit"> {
  readonly recoveryKitFile: string | null;
}

/** key's result, and the file that the kit is in; null: it was shown, or there is none. */
export interface KeyCommandResult extends KeyReport {
  readonly recoveryKitFile: string | null;
}

const ACTIONS = ["list", "add", "remove", "rotate"] as const;

/** Which option goes with which action. */
const FLAGS_OF: Readonly<Record<(typeof ACTIONS)[number], readonly string[]>> = {
  list: [],
  add: ["recipient", "new-passphrase-file", "label"],
  remove: [],
  rotate: ["drop-others", "recovery-kit"],
};

const flags: readonly FlagSpec[] = [
  {
    long: "recipient",
    value: "AGE",
    description: "add: an age recipient (age1…), whose identity then opens the repository",
  },
  {
    long: "new-passphrase-file",
    value: "FILE",
    description: "add: file whose first line is the new passphrase (default: asked on the terminal, twice)",
  },
  {
    long: "label",
    value: "TEXT",
    description: "add: what it is, for people; everybody who reaches the storage reads it",
  },
  { long: "drop-others", description: "rotate: leave out passphrases that were not given now" },
  { ...recoveryKitFlag, description: `rotate: ${recoveryKitFlag.description}` },
];

export const key: Verb<KeyCommandSettings, KeyCommandResult> = {
  name: "key",
  description:
    '"key list" shows what opens the repository: passphrases and age recipients. "key add" adds one, "key remove" takes one away (never ' +
    'the last); a passphrase is changed by adding the new one and removing the old. "key rotate" puts a new data key into use and ' +
    "makes a new recovery kit: what is stored from then on cannot be read with the old key; what was stored before still can.",
  arguments: [
    { name: "ACTION", description: "list, add, remove or rotate", isRequired: true },
    { name: "KEY", description: 'remove: its id in "key list"', isRequired: false },
  ],
  flags: [...flags, ...repositoryFlags, ...outputFlags],
  examples: [
    "cairn key list --repo /backups",
    "cairn key add --repo /backups --recipient age1… --label 'restore machine'",
    "cairn key remove 3f9ac201 --repo /backups",
    "cairn key rotate --repo /backups --recovery-kit ~/cairn-recovery-kit-2.txt",
  ],
  readSettings,
  run: async (context, { recoveryKitFile, ...settings }, caller) => {
    const { runKey } = await import("../../operations/key/index.ts");
    const report = await keepingKit(
      recoveryKitFile,
      caller,
      async (kit) => await runKey(context, { ...settings, kit }),
    );
    return { ...report, recoveryKitFile };
  },
  render: renderKey,
  exitStatus: () => EXIT_DONE,
};

function readSettings(line: CommandLine, caller: Caller): KeyCommandSettings {
  const [word = "", id] = line.arguments;
  const action = ACTIONS.find((one) => one === word);
  if (action === undefined) {
    throw new OperatingError("usage", `"key" has no action "${word}"`, { hint: `It is one of ${ACTIONS.join(", ")}.` });
  }
  const misplaced = Object.values(FLAGS_OF).flat().find((flag) => hasFlag(line, flag) && !FLAGS_OF[action].includes(flag)); // prettier-ignore
  if (misplaced !== undefined)
    throw new OperatingError("usage", `option --${misplaced} makes no sense with "key ${action}"`);
  if ((action === "remove") !== (id !== undefined)) {
    throw new OperatingError(
      "usage",
      action === "remove" ? "which key is to be removed?" : `"key ${action}" takes no KEY`,
      {
        hint: 'The ids stand in "cairn key list".',
      },
    );
  }
  const recoveryKitFile = action === "rotate" ? recoveryKitFileOf(line, caller) : null;
  return { repository: repositoryOf(line, caller), change: changeOf(action, line, caller), recoveryKitFile };
}

function changeOf(action: (typeof ACTIONS)[number], line: CommandLine, caller: Caller): KeyChange {
  if (action === "remove") return { action, id: line.arguments[1]! };
  if (action === "rotate") return { action, dropsOthers: hasFlag(line, "drop-others") };
  if (action === "list") return { action };
  refuseBoth(line, "recipient", "new-passphrase-file");
  const file = lastValue(line, "new-passphrase-file");
  const given = file === null ? null : readPassphraseFile(file, caller);
  const ask = async (): Promise<string> => given ?? (await askNewPassphrase(caller, "New passphrase: "));
  return { action, label: lastValue(line, "label"), recipient: lastValue(line, "recipient"), askNewPassphrase: ask };
}
