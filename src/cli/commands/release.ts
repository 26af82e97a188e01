// cairn release: takes the holds of a restore point away.

import type { ReleaseReport, ReleaseSettings } from "../../operations/hold/types.ts";
import { outputFlags, referenceArgument, referenceOf, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE } from "../exit-status.ts";
import { renderRelease } from "../output/hold.ts";
import { repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

export const release: Verb<ReleaseSettings, ReleaseReport> = {
  name: "release",
  description: "Takes all holds of a restore point away; the next expire decides on it by its rules again.",
  arguments: [referenceArgument],
  flags: [...repositoryFlags, ...outputFlags],
  examples: ["cairn release 20261122T100000Z-ab12 --repo /backups"],
  readSettings: (line, caller) => ({ repository: repositoryOf(line, caller), reference: referenceOf(line) }),
  run: async (context, settings) => (await import("../../operations/hold/index.ts")).runRelease(context, settings),
  render: renderRelease,
  exitStatus: () => EXIT_DONE,
};
