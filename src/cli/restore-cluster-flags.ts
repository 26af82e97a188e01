// Options of restore about whole servers.

import { OperatingError } from "../base/errors.ts";
import type { ClusterRestoreSettings } from "../operations/restore-cluster/types.ts";
import type { RestoreOptions } from "../restore/options.ts";
import { hasFlag } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
import { keyValues } from "./common-flags.ts";
import type { FlagSpec } from "./verb.ts";

export const clusterRestoreFlags: readonly FlagSpec[] = [
  { long: "cluster", description: "a whole server: roles and tablespaces, then each database, created" },
  { long: "older-server", description: "with --cluster: even to an older major than the source's" },
  {
    long: "tablespace-mapping",
    value: "OLD=NEW",
    description: "with --cluster: the tablespace of folder OLD goes to NEW; may be repeated",
  },
];

/** Whether --cluster was given; throws "usage" for options that need it, or make no sense with it. */
export function isClusterRestore(line: CommandLine, options: RestoreOptions): boolean {
  const isCluster = hasFlag(line, "cluster");
  if (!isCluster) {
    const needy = ["older-server", "tablespace-mapping"].find((name) => hasFlag(line, name));
    if (needy !== undefined) throw new OperatingError("usage", `option --${needy} needs --cluster`);
    return false;
  }
  const others = Object.keys(options).some((name) => name !== "jobs");
  if (others || hasFlag(line, "scratch") || hasFlag(line, "in-place")) {
    throw new OperatingError("usage", "of pg_restore's options only --jobs makes sense with --cluster", {
      hint: "A part of one database is restored from its own restore point, without --cluster.",
    });
  }
  return true;
}

/** What only a cluster restore knows. */
export function clusterRestoreOptionsOf(
  line: CommandLine,
  options: RestoreOptions,
): Pick<ClusterRestoreSettings, "jobs" | "allowsOlderServer" | "tablespaceMapping"> {
  return {
    jobs: options.jobs ?? null,
    allowsOlderServer: hasFlag(line, "older-server"),
    tablespaceMapping: keyValues(line, "tablespace-mapping"),
  };
}
