// cairn check: whether a repository is whole.

import type { CheckReport, CheckSettings } from "../../operations/check/types.ts";
import { outputFlags, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE, EXIT_FAILED } from "../exit-status.ts";
import { renderCheck } from "../output/check.ts";
import { percentOf } from "../percent.ts";
import { repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

export const check: Verb<CheckSettings, CheckReport> = {
  name: "check",
  description:
    "Checks that every restore point's packs and lists are there, of the right size, and hold what is referred to; with --read-data also a " +
    "part of the data itself. Damage is named by restore point and table, and is exit status 1.",
  arguments: [],
  flags: [
    {
      long: "read-data",
      value: "PERCENT",
      description: "also read so much of the data, packs chosen at random: 10%, 100% (default: 0%)",
    },
    ...repositoryFlags,
    ...outputFlags,
  ],
  examples: ["cairn check --repo /backups", "cairn check --repo /backups --read-data 10%"],
  readSettings: (line, caller) => ({
    repository: repositoryOf(line, caller),
    readFraction: percentOf(line, "read-data") ?? 0,
  }),
  run: async (context, settings) => (await import("../../operations/check/index.ts")).runCheck(context, settings),
  render: renderCheck,
  exitStatus: ({ isWhole }) => (isWhole ? EXIT_DONE : EXIT_FAILED),
};
