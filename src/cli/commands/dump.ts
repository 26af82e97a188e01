// cairn dump: one archive, without a repository.

import type { DumpReceipt, DumpSettings } from "../../operations/dump/types.ts";
import { hasFlag, lastValue } from "../command-line.ts";
import {
  archiveVersionFlag,
  compressFlag,
  jobsFlag,
  jobsOf,
  outputFlags,
  overwriteFlag,
  pgDumpFlag,
  requiredValue,
  sourceArgument,
} from "../common-flags.ts";
import { EXIT_DONE } from "../exit-status.ts";
import { renderDump } from "../output/dump.ts";
import { selectionFlagSpecs, selectionOf } from "../selection-flags.ts";
import type { FlagSpec, Verb } from "../verb.ts";

const ownFlags: readonly FlagSpec[] = [
  { long: "file", short: "f", value: "FILE", description: "the archive to be written; a receipt is put beside it" },
  overwriteFlag,
  jobsFlag,
  archiveVersionFlag,
  compressFlag,
  pgDumpFlag,
  ...outputFlags,
];

export const dump: Verb<DumpSettings, DumpReceipt> = {
  name: "dump",
  description:
    "Writes one archive of the custom format, as pg_dump -Fc does, with several connections even for one table. The file " +
    "has its name only after all of it was read back: every block decoded, every row counted.",
  arguments: [sourceArgument],
  flags: [...ownFlags, ...selectionFlagSpecs(ownFlags)],
  ownsLetterH: true,
  examples: [
    "cairn dump postgresql://host/shop --file shop.dump",
    "cairn dump shop --file shop.dump --jobs 4 --compress zstd:6 -n public",
    "pg_restore --list shop.dump",
  ],
  readSettings: (line) => ({
    source: line.arguments[0],
    file: requiredValue(line, "file", "Name the archive to be written: --file shop.dump"),
    overwrite: hasFlag(line, "overwrite"),
    jobs: jobsOf(line),
    archiveVersion: lastValue(line, "archive-version"),
    compression: lastValue(line, "compress"),
    pgDump: lastValue(line, "pg-dump"),
    selection: selectionOf(line, ownFlags),
  }),
  run: async (context, settings) => (await import("../../operations/dump/index.ts")).runDump(context, settings),
  render: renderDump,
  exitStatus: () => EXIT_DONE,
};
