// cairn backup: takes a restore point of a database, or of every database of a server.

import type { BackupReceipt, BackupSettings } from "../../operations/backup/types.ts";
import type { ClusterBackupSettings, ClusterReceipt } from "../../operations/backup-cluster/types.ts";
import type { Caller } from "../caller.ts";
import { lastValue } from "../command-line.ts";
import type { CommandLine } from "../command-line.ts";
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
import { deltaChoiceOf, deltaFlag } from "../delta-flags.ts";
import { dropFlags, dropLimitsOf } from "../drop-flags.ts";
import { EXIT_DONE, EXIT_FAILED, EXIT_INCOMPLETE } from "../exit-status.ts";
import { clusterFlags, clusterOptionsOf, globalsChoiceOf, globalsFlags } from "../globals-flags.ts";
import { renderClusterBackup } from "../output/backup-cluster.ts";
import { renderBackup } from "../output/backup.ts";
import { readingFlags, readingSettingsOf } from "../reading-flags.ts";
import { repositoryOf } from "../repository-access.ts";
import { selectionFlagSpecs, selectionOf } from "../selection-flags.ts";
import type { FlagSpec, Verb } from "../verb.ts";

const ownFlags: readonly FlagSpec[] = [
  { long: "lineage", value: "NAME", description: "the series that it continues (default: database@host)" },
  { long: "tag", value: "KEY=VALUE", description: "a note to be kept with it; may be repeated" },
  jobsFlag,
  { ...compressFlag, description: "none or zstd[:LEVEL] (default: zstd:3)" },
  pgDumpFlag,
  deltaFlag,
  ...readingFlags,
  ...dropFlags,
  ...clusterFlags,
  ...globalsFlags,
  ...repositoryFlags,
  ...outputFlags,
];

type Settings = BackupSettings | ClusterBackupSettings;
type Receipt = BackupReceipt | ClusterReceipt;

export const backup: Verb<Settings, Receipt> = {
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
    "cairn backup shop --repo /backups --checkpoint now --explain",
    "cairn backup postgresql://host --cluster --repo /backups --exclude-database 'scratch_*'",
    "cairn backup shop --repo /backups --lineage shop-without-log --exclude-table-data 'log.*'",
  ],
  readSettings,
  run: async (context, settings) => {
    if ("excludedDatabases" in settings) {
      return await (await import("../../operations/backup-cluster/index.ts")).runClusterBackup(context, settings);
    }
    return await (await import("../../operations/backup/index.ts")).runBackup(context, settings);
  },
  render: (receipt) => ("databases" in receipt ? renderClusterBackup(receipt) : renderBackup(receipt)),
  exitStatus: (receipt) => {
    if (hasFailedSelfCheck(receipt)) return EXIT_FAILED;
    return needsALook(receipt) ? EXIT_INCOMPLETE : EXIT_DONE;
  },
};

/** What was read is not what would have been taken over. */
function hasFailedSelfCheck(receipt: Receipt): boolean {
  const receipts = "databases" in receipt ? receipt.databases.map((one) => one.receipt) : [receipt];
  return receipts.some((one) => (one?.reading.selfCheck?.differenceCount ?? 0) > 0);
}

/** Databases are missing, or something holds far less than before. */
function needsALook(receipt: Receipt): boolean {
  if (!("databases" in receipt)) return receipt.findings.length > 0;
  return !receipt.isComplete || receipt.databases.some((one) => (one.receipt?.findings.length ?? 0) > 0);
}

function readSettings(line: CommandLine, caller: Caller): Settings {
  const settings = {
    source: line.arguments[0],
    repository: repositoryOf(line, caller),
    lineage: lastValue(line, "lineage"),
    jobs: jobsOf(line),
    tags: keyValues(line, "tag"),
    compression: lastValue(line, "compress"),
    pgDump: lastValue(line, "pg-dump"),
    selection: selectionOf(line, ownFlags),
    dropLimits: dropLimitsOf(line),
    deltas: deltaChoiceOf(line),
    reading: readingSettingsOf(line),
  };
  const cluster = clusterOptionsOf(line, settings.selection);
  return cluster === null ? { ...settings, globals: globalsChoiceOf(line) } : { ...settings, ...cluster };
}
