// cairn show: what is in a restore point.

import { OperatingError } from "../../base/errors.ts";
import type { ShowFileSettings, ShowResult, ShowSettings } from "../../operations/show/types.ts";
import type { Caller } from "../caller.ts";
import { archiveFileOf, referenceOrFileArgument } from "../archive-file.ts";
import { allValues, hasFlag } from "../command-line.ts";
import type { CommandLine } from "../command-line.ts";
import { outputFlags, referenceOf, refuseBoth, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE } from "../exit-status.ts";
import { renderShow } from "../output/show.ts";
import { repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

export const show: Verb<ShowSettings | ShowFileSettings, ShowResult> = {
  name: "show",
  description:
    "Shows what is in a restore point, or with --list and --schema in an archive of pg_dump: its tables with rows and sizes, its table of contents, or its definitions, or the roles that it needs.",
  arguments: [referenceOrFileArgument],
  flags: [
    { long: "list", description: "the table of contents, as pg_restore --list prints it (for restore --use-list)" },
    { long: "schema", description: "the definitions, as SQL" },
    { long: "globals", description: "the roles and tablespaces that it needs, as SQL; shows password hashes" },
    { long: "table", short: "t", value: "TABLE", description: "with --schema: of this table only; may be repeated" },
    ...repositoryFlags,
    ...outputFlags,
  ],
  examples: [
    "cairn show latest --repo /backups",
    "cairn show latest --repo /backups --schema -t orders",
    "cairn show shop@host@2026-11-22T10:00Z --repo /backups --list > shop.list",
  ],
  readSettings,
  run: async (context, settings) => {
    const { runShow, runShowFile } = await import("../../operations/show/index.ts");
    return "file" in settings ? await runShowFile(context, settings) : await runShow(context, settings);
  },
  render: renderShow,
  isExactText: ({ what }) => what !== "summary",
  exitStatus: () => EXIT_DONE,
};

function readSettings(line: CommandLine, caller: Caller): ShowSettings | ShowFileSettings {
  refuseBoth(line, "list", "schema");
  refuseBoth(line, "list", "globals");
  refuseBoth(line, "schema", "globals");
  const tables = allValues(line, "table");
  if (tables.length > 0 && !hasFlag(line, "schema")) {
    throw new OperatingError("usage", "option -t/--table needs --schema");
  }
  const what = (["list", "schema", "globals"] as const).find((name) => hasFlag(line, name)) ?? "summary";
  const file = archiveFileOf(line);
  if (file !== null) return { file, what, tables };
  return { repository: repositoryOf(line, caller), reference: referenceOf(line), what, tables };
}
