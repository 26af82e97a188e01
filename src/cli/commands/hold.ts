// cairn hold: keeps a restore point from being expired.

import type { HoldReport, HoldSettings } from "../../operations/hold/types.ts";
import { lastValue } from "../command-line.ts";
import { outputFlags, referenceArgument, referenceOf, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE } from "../exit-status.ts";
import { renderHold } from "../output/hold.ts";
import { repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

export const hold: Verb<HoldSettings, HoldReport> = {
  name: "hold",
  description: 'Keeps a restore point whatever the rules of "cairn expire" say, until "cairn release".',
  arguments: [referenceArgument],
  flags: [
    { long: "reason", value: "TEXT", description: "why, for whoever asks later" },
    ...repositoryFlags,
    ...outputFlags,
  ],
  examples: ["cairn hold shop@latest --repo /backups --reason 'before the migration'"],
  readSettings: (line, caller) => ({
    repository: repositoryOf(line, caller),
    reference: referenceOf(line),
    reason: lastValue(line, "reason") ?? "",
  }),
  run: async (context, settings) => (await import("../../operations/hold/index.ts")).runHold(context, settings),
  render: renderHold,
  exitStatus: () => EXIT_DONE,
};
