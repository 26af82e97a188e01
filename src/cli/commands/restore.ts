// cairn restore: all of a restore point into a database, a part of it into a scratch database beside it, or a whole server.

import { OperatingError } from "../../base/errors.ts";
import type { RestoreReport, RestoreSettings } from "../../operations/restore/types.ts";
import type { ClusterRestoreReport, ClusterRestoreSettings } from "../../operations/restore-cluster/types.ts";
import type { RestoreOptions } from "../../restore/options.ts";
import type { Caller } from "../caller.ts";
import { archiveFileOf, referenceOrFileArgument } from "../archive-file.ts";
import { hasFlag, lastValue } from "../command-line.ts";
import type { CommandLine } from "../command-line.ts";
import { outputFlags, referenceOf, refuseBoth, repositoryFlags, requiredValue } from "../common-flags.ts";
import { EXIT_DONE, EXIT_FAILED, EXIT_INCOMPLETE } from "../exit-status.ts";
import { renderClusterRestore } from "../output/restore-cluster.ts";
import { renderRestore } from "../output/restore.ts";
import { repositoryOf } from "../repository-access.ts";
import { clusterRestoreFlags, clusterRestoreOptionsOf, isClusterRestore } from "../restore-cluster-flags.ts";
import { restoreFlags, restoreOptionsOf } from "../restore-flags.ts";
import type { Verb } from "../verb.ts";

type Settings = RestoreSettings | ClusterRestoreSettings;
type Report = RestoreReport | ClusterRestoreReport;

export const restore: Verb<Settings, Report> = {
  name: "restore",
  description:
    "Restores a restore point, or an archive of pg_dump, into the database TARGET, which must be empty; or, with -t or -n, only these tables or " +
    "schemas into a new scratch database on TARGET's server: there you can look at them and copy what you need, and nothing " +
    "that exists is touched. Exit status 1 when an entry failed; every failure is listed.",
  arguments: [referenceOrFileArgument],
  flags: [
    { long: "to", value: "TARGET", description: "the database to restore into, or beside: URI or key=value string" },
    {
      long: "scratch",
      value: "NAME",
      isValueOptional: true,
      description: "into a new database of this or a made-up name on TARGET's server (default for -t and -n)",
    },
    {
      long: "resume",
      description: "go on with an interrupted restore into a scratch database; all else as it was said then",
    },
    {
      long: "in-place",
      description: "into TARGET itself although it holds objects: pg_restore's meaning of -t and -n",
    },
    ...clusterRestoreFlags,
    ...repositoryFlags,
    ...outputFlags,
    ...restoreFlags,
  ],
  ownsLetterH: true,
  examples: [
    "cairn restore latest --repo /backups --to postgresql://host/postgres -t orders",
    "cairn restore latest --repo /backups --to postgresql://host/shop_again --jobs 4",
    "cairn restore latest --repo /backups --to postgresql://host/postgres --create",
    "cairn restore cluster:host@latest --repo /backups --to postgresql://new-host --cluster --jobs 4",
    "cairn restore ./shop.tar --to postgresql://host/shop_again --jobs 4",
    "cairn restore shop@host@2026-11-22T10:00Z --repo /backups --to postgresql://host/shop -t orders -a --in-place",
  ],
  readSettings,
  run: async (context, settings) => {
    if ("tablespaceMapping" in settings) {
      return await (await import("../../operations/restore-cluster/index.ts")).runClusterRestore(context, settings);
    }
    return await (await import("../../operations/restore/index.ts")).runRestore(context, settings);
  },
  render: (report) => ("databases" in report ? renderClusterRestore(report) : renderRestore(report)),
  exitStatus: (report) => (hasFailures(report) ? EXIT_FAILED : report.isComplete ? EXIT_DONE : EXIT_INCOMPLETE),
};

/** A database that its backup had missed already is incompleteness, not a failure. */
function hasFailures(report: Report): boolean {
  if (!("databases" in report)) return report.entriesFailed.length > 0;
  return (
    report.globals.failed.length > 0 ||
    report.databases.some(({ restorePointId, error, report: own }) => {
      return (error !== null && restorePointId !== null) || (own?.entriesFailed.length ?? 0) > 0;
    })
  );
}

async function readSettings(line: CommandLine, caller: Caller): Promise<Settings> {
  const target = requiredValue(line, "to", "Name the target: --to postgresql://host/database");
  const options = await restoreOptionsOf(line);
  if (isClusterRestore(line, options)) {
    const repository = repositoryOf(line, caller);
    return { repository, reference: referenceOf(line), target, ...clusterRestoreOptionsOf(line, options) };
  }
  const mode = modeOf(line, options);
  const file = archiveFileOf(line);
  return {
    repository: file === null ? repositoryOf(line, caller) : null,
    reference: referenceOf(line),
    ...(file === null ? {} : { file }),
    target,
    options,
    mode,
    allowsNonEmptyTarget: options.clean === true || options.dataOnly === true || hasFlag(line, "in-place"),
  };
}

/** Scratch when it is asked for, and by default for a part; some options make no sense in a database that is new. */
function modeOf(line: CommandLine, options: RestoreOptions): RestoreSettings["mode"] {
  refuseBoth(line, "scratch", "in-place");
  const isPart = options.tables !== undefined || options.schemas !== undefined;
  refuseBoth(line, "resume", "in-place");
  if (!hasFlag(line, "scratch") && (!isPart || hasFlag(line, "in-place"))) {
    if (!hasFlag(line, "resume")) return { kind: "in-place" };
    throw new OperatingError("usage", "option --resume is for a restore into a scratch database", {
      hint: "Only there Cairn knows what an interrupted restore has done. Restore into a new, empty database instead.",
    });
  }
  for (const [setting, name] of [
    ["clean", "-c/--clean"],
    ["create", "-C/--create"],
    ["dataOnly", "-a/--data-only"],
  ] as const) {
    if (options[setting] !== true) continue;
    throw new OperatingError("usage", `option ${name} makes no sense for a new scratch database`, {
      detail: "With -t or -n, Cairn restores into a scratch database of its own unless told otherwise.",
      hint: "To write into TARGET itself, as pg_restore does, add --in-place.",
    });
  }
  const name = lastValue(line, "scratch");
  return { kind: "scratch", name: name === "" ? null : name, resumes: hasFlag(line, "resume") };
}
