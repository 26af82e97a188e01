// cairn export: writes a restore point out as an archive.

import type { ExportReport, ExportSettings } from "../../operations/export/types.ts";
import { hasFlag, lastValue } from "../command-line.ts";
import {
  archiveVersionFlag,
  compressFlag,
  outputFlags,
  overwriteFlag,
  referenceArgument,
  referenceOf,
  repositoryFlags,
  requiredValue,
} from "../common-flags.ts";
import { EXIT_DONE } from "../exit-status.ts";
import { renderExport } from "../output/export.ts";
import { repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

export const exportVerb: Verb<ExportSettings, ExportReport> = {
  name: "export",
  description:
    "Writes a restore point out as one archive that the stock pg_restore lists and restores, or as plain SQL for psql.",
  arguments: [referenceArgument],
  flags: [
    {
      long: "file",
      short: "f",
      value: "FILE",
      description: "the archive to be written; for --format directory, a folder",
    },
    overwriteFlag,
    {
      long: "format",
      short: "F",
      value: "FORMAT",
      description: "custom (the default), directory, tar, or plain; or the first letter",
    },
    archiveVersionFlag,
    {
      ...compressFlag,
      description: "none, gzip[:LEVEL], lz4 or zstd[:LEVEL] (default: as it is stored, which needs no work)",
    },
    { long: "restrict-key", value: "KEY", description: "of plain SQL, in place of a made-up one: for equal files" },
    ...repositoryFlags,
    ...outputFlags,
  ],
  examples: [
    "cairn export latest --repo /backups --file shop.dump",
    "cairn export latest --repo /backups --file shop.dump --archive-version 1.14 --compress gzip",
    "cairn export latest --repo /backups --file shop.directory --format directory",
    "pg_restore --jobs 4 --dbname shop_again shop.dump",
  ],
  readSettings: (line, caller) => ({
    repository: repositoryOf(line, caller),
    reference: referenceOf(line),
    file: requiredValue(line, "file", "Name the archive to be written: --file shop.dump"),
    overwrite: hasFlag(line, "overwrite"),
    format: lastValue(line, "format") ?? "custom",
    archiveVersion: lastValue(line, "archive-version"),
    compression: lastValue(line, "compress"),
    ...(hasFlag(line, "restrict-key") ? { restrictKey: lastValue(line, "restrict-key") ?? "" } : {}),
  }),
  run: async (context, settings) => (await import("../../operations/export/index.ts")).runExport(context, settings),
  render: renderExport,
  exitStatus: () => EXIT_DONE,
};
