// cairn backup: takes a restore point.

import type { BackupReceipt, BackupSettings } from "../../operations/backup/types.ts";
import { lastValue } from "../command-line.ts";
import {
  compressFlag,
  jobsFlag,
  jobsOf,
  keyValues,
  outputFlags,
  pgDumpFlag,
  repositoryFlags,
  sourceArgument,
} from "../common-flags.ts";
import { EXIT_DONE } from "../exit-status.ts";
import { globalsChoiceOf, globalsFlags } from "../globals-flags.ts";
import { renderBackup } from "../output/backup.ts";
import { repositoryOf } from "../repository-access.ts";
import { selectionFlagSpecs, selectionOf } from "../selection-flags.ts";
import type { FlagSpec, Verb } from "../verb.ts";

const ownFlags: readonly FlagSpec[] = [
  { long: "lineage", value: "NAME", description: "the series that it continues (default: database@host)" },
  { long: "tag", value: "KEY=VALUE", description: "a note to be kept with it; may be repeated" },
  jobsFlag,
  { ...compressFlag, description: "none or zstd[:LEVEL] (default: zstd:3)" },
  pgDumpFlag,
  ...globalsFlags,
  ...repositoryFlags,
  ...outputFlags,
];

export const backup: Verb<BackupSettings, BackupReceipt> = {
  name: "backup",
  description:
    "Takes a restore point of one database: a consistent snapshot, stored encrypted, of which only what changed since " +
    "the last one is new. It is done, and exists, only when everything is durable and was confirmed by the storage.",
  arguments: [sourceArgument],
  flags: [...ownFlags, ...selectionFlagSpecs(ownFlags)],
  ownsLetterH: true,
  examples: [
    "cairn backup postgresql://host/shop --repo /backups",
    "cairn backup shop --repo /backups --tag release=4.2 --jobs 4",
    "cairn backup shop --repo /backups --lineage shop-without-log --exclude-table-data 'log.*'",
  ],
  readSettings: (line, caller) => ({
    source: line.arguments[0],
    repository: repositoryOf(line, caller),
    lineage: lastValue(line, "lineage"),
    jobs: jobsOf(line),
    tags: keyValues(line, "tag"),
    compression: lastValue(line, "compress"),
    pgDump: lastValue(line, "pg-dump"),
    selection: selectionOf(line, ownFlags),
    globals: globalsChoiceOf(line),
  }),
  run: async (context, settings) => (await import("../../operations/backup/index.ts")).runBackup(context, settings),
  render: renderBackup,
  exitStatus: () => EXIT_DONE,
};
