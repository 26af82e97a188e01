// Options of backup about whole servers, their roles and tablespaces.

import { OperatingError } from "../base/errors.ts";
import type { ClusterBackupSettings } from "../operations/backup-cluster/types.ts";
import type { GlobalsChoice } from "../operations/backup/types.ts";
import { allValues, hasFlag } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
import { refuseBoth } from "./common-flags.ts";
import type { FlagSpec } from "./verb.ts";

export const globalsFlags: readonly FlagSpec[] = [
  { long: "no-globals", description: "do not keep the roles and tablespaces that the database needs" },
  { long: "no-role-passwords", description: "keep roles without their password hashes" },
];

/** What is to come along. */
export function globalsChoiceOf(line: CommandLine): GlobalsChoice {
  refuseBoth(line, "no-globals", "no-role-passwords");
  if (hasFlag(line, "no-globals")) return "none";
  return hasFlag(line, "no-role-passwords") ? "without passwords" : "with passwords";
}

export const clusterFlags: readonly FlagSpec[] = [
  { long: "cluster", description: "every database of SOURCE's server, and all its roles and tablespaces" },
  { long: "exclude-database", value: "PATTERN", description: "with --cluster: not these databases; may be repeated" },
];

/** pg_dump's options that leave a database with too little to be made anew, or are about one database only. */
const PARTIAL = [
  "schema",
  "table",
  "table-and-children",
  "extension",
  "filter",
  "data-only",
  "section",
  "no-schema",
  "statistics-only",
  "snapshot",
];

/** What --cluster asks for; null without it. Throws "usage" for what makes no sense together. */
export function clusterOptionsOf(
  line: CommandLine,
  selection: readonly string[],
): Pick<ClusterBackupSettings, "excludedDatabases" | "withRolePasswords"> | null {
  const excludedDatabases = allValues(line, "exclude-database");
  if (!hasFlag(line, "cluster")) {
    if (excludedDatabases.length === 0) return null;
    throw new OperatingError("usage", "option --exclude-database needs --cluster");
  }
  refuseBoth(line, "no-globals", "cluster");
  const partial = PARTIAL.find((name) => selection.some((word) => word.split("=")[0] === `--${name}`));
  if (partial !== undefined) {
    throw new OperatingError("usage", `option --${partial} makes no sense with --cluster`, {
      hint: "A part of one database is a backup of its own, without --cluster.",
    });
  }
  return { excludedDatabases, withRolePasswords: !hasFlag(line, "no-role-passwords") };
}
