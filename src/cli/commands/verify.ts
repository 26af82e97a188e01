// cairn verify: reads back every byte of a restore point.

import type { VerifyReport, VerifySettings } from "../../operations/verify/types.ts";
import { outputFlags, referenceArgument, referenceOf, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE, EXIT_FAILED } from "../exit-status.ts";
import { renderVerify } from "../output/verify.ts";
import { repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

export const verify: Verb<VerifySettings, VerifyReport> = {
  name: "verify",
  description:
    "Reads back every byte of a restore point, authenticates and decompresses it, and counts the rows. Exit status 1 when " +
    "anything is damaged; each damaged object is named with the tables that it touches.",
  arguments: [referenceArgument],
  flags: [...repositoryFlags, ...outputFlags],
  examples: ["cairn verify latest --repo /backups"],
  readSettings: (line, caller) => ({ repository: repositoryOf(line, caller), reference: referenceOf(line) }),
  run: async (context, settings) => (await import("../../operations/verify/index.ts")).runVerify(context, settings),
  render: renderVerify,
  exitStatus: ({ isIntact }) => (isIntact ? EXIT_DONE : EXIT_FAILED),
};
