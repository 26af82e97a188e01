// cairn copy: restore points of one repository into another.

import { OperatingError } from "../../base/errors.ts";
import type { CopyReport, CopySettings } from "../../operations/copy/types.ts";
import type { RepositoryAccess } from "../../operations/operation.ts";
import type { Caller } from "../caller.ts";
import { hasFlag, lastValue } from "../command-line.ts";
import type { CommandLine } from "../command-line.ts";
import { outputFlags, positiveNumber, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE, EXIT_FAILED } from "../exit-status.ts";
import { otherRepositoryAt, otherRepositoryFlags } from "../other-repository.ts";
import { renderCopy } from "../output/copy.ts";
import { repositoryOf } from "../repository-access.ts";
import { tagsOf } from "../tag-patterns.ts";
import type { Verb } from "../verb.ts";

const TO = "Where it is copied to:";

export const copy: Verb<CopySettings, CopyReport> = {
  name: "copy",
  description:
    "Copies restore points into another repository, without reading the database again. What is there already is not sent. Into a " +
    'repository that was made with "cairn init --like", packs move byte for byte; else every new chunk is opened, checked and sealed anew. ' +
    "A restore point keeps its id, time and tags.",
  arguments: [
    {
      name: "RP|LINEAGE...",
      description: "restore points, or lineages with all that they have; that of a whole server with all its databases",
      isRequired: false,
    },
  ],
  flags: [
    { long: "all", description: "all restore points of the repository" },
    { long: "last", value: "NUMBER", description: "of each lineage only the newest NUMBER" },
    {
      long: "tag",
      value: "KEY[=VALUE]",
      description: "of each lineage only restore points with this tag; may be repeated",
    },
    { long: "dry-run", description: "say what would be copied; change nothing" },
    {
      long: "to-repo",
      value: "REPO",
      description: "the repository to copy to (default: CAIRN_TO_REPOSITORY)",
      group: TO,
    },
    ...otherRepositoryFlags("to", "that repository", TO),
    {
      long: "allow-unencrypted",
      description: "copy out of an encrypted repository into one that is not",
      group: TO,
    },
    ...repositoryFlags,
    ...outputFlags,
  ],
  examples: [
    "cairn copy --all --repo /backups --to-repo s3://my-bucket/cairn",
    "cairn copy shop@host --last 7 --repo /backups --to-repo /mnt/usb/backups",
    "cairn copy latest --repo s3://my-bucket/cairn --to-repo /backups --dry-run",
  ],
  readSettings: (line, caller) => ({
    ...selectionOf(line),
    from: repositoryOf(line, caller),
    to: targetOf(line, caller),
    isDryRun: hasFlag(line, "dry-run"),
    allowsUnencrypted: hasFlag(line, "allow-unencrypted"),
  }),
  run: async (context, settings) => (await import("../../operations/copy/index.ts")).runCopy(context, settings),
  render: renderCopy,
  exitStatus: ({ failedCount }) => (failedCount === 0 ? EXIT_DONE : EXIT_FAILED),
};

function selectionOf(line: CommandLine): Pick<CopySettings, "references" | "isAll" | "last" | "tags"> {
  const isAll = hasFlag(line, "all");
  if (isAll === line.arguments.length > 0) {
    const message = isAll ? "--all stands beside names of restore points or lineages" : "nothing to copy was named";
    throw new OperatingError("usage", message, { hint: "Name restore points or lineages, or say --all." });
  }
  return { references: line.arguments, isAll, last: positiveNumber(line, "last"), tags: tagsOf(line, "tag") };
}

function targetOf(line: CommandLine, caller: Caller): RepositoryAccess {
  const location = lastValue(line, "to-repo") ?? caller.environment["CAIRN_TO_REPOSITORY"] ?? "";
  if (location !== "") return otherRepositoryAt(location, "to", { line, caller });
  throw new OperatingError("usage", "no repository to copy to was named", {
    hint: "Name it with --to-repo, or in the environment variable CAIRN_TO_REPOSITORY.",
  });
}
