// cairn diff: what changed between two restore points.

import type { DiffReport, DiffSettings } from "../../operations/diff/types.ts";
import { outputFlags, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE } from "../exit-status.ts";
import { renderDiff } from "../output/diff.ts";
import { repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

export const diff: Verb<DiffSettings, DiffReport> = {
  name: "diff",
  description:
    "Shows what changed between two restore points: definitions as text, rows and bytes of each table with the block ranges " +
    "touched, sequences, large objects. Reads manifests and lists only, and needs no server.",
  arguments: [
    { name: "RP", description: "the earlier restore point", isRequired: true },
    { name: "RP2", description: "the restore point that it is compared with", isRequired: true },
  ],
  flags: [...repositoryFlags, ...outputFlags],
  examples: [
    "cairn diff shop@host@2026-11-21T10:00Z shop@host@latest --repo /backups",
    "cairn diff 20261121T10 latest --repo /backups --json",
  ],
  readSettings: (line, caller) => ({
    repository: repositoryOf(line, caller),
    before: line.arguments[0] ?? "",
    after: line.arguments[1] ?? "",
  }),
  run: async (context, settings) => (await import("../../operations/diff/index.ts")).runDiff(context, settings),
  render: renderDiff,
  exitStatus: () => EXIT_DONE,
};
