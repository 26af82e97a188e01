// cairn import: an archive of pg_dump becomes a restore point.

import type { ImportReceipt, ImportSettings } from "../../operations/import/types.ts";
import { lastValue } from "../command-line.ts";
import { keyValues, outputFlags, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE } from "../exit-status.ts";
import { renderImport } from "../output/import.ts";
import { repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

export const importVerb: Verb<ImportSettings, ImportReceipt> = {
  name: "import",
  description:
    "Makes a restore point of an archive that pg_dump 9.2 to 18 wrote: custom, directory or tar format, each compression. " +
    "Only what the lineage's last restore point does not have is stored. Plain SQL is taken along as it is, and quarantined: " +
    "Cairn never executes it.",
  arguments: [
    { name: "FILE", description: "the archive: a file, or the folder of a directory archive", isRequired: true },
  ],
  flags: [
    { long: "lineage", value: "NAME", description: "the series that it continues (default: database@import)" },
    { long: "tag", value: "KEY=VALUE", description: "a note to be kept with it; may be repeated" },
    ...repositoryFlags,
    ...outputFlags,
  ],
  examples: [
    "cairn import shop.dump --repo /backups",
    "cairn import /old/shop.directory --repo /backups --lineage shop@old-host --tag from=cron",
  ],
  readSettings: (line, caller) => ({
    file: line.arguments[0] ?? "",
    repository: repositoryOf(line, caller),
    lineage: lastValue(line, "lineage"),
    tags: keyValues(line, "tag"),
  }),
  run: async (context, settings) => (await import("../../operations/import/index.ts")).runImport(context, settings),
  render: renderImport,
  exitStatus: () => EXIT_DONE,
};
