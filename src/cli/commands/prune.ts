// cairn prune: gives the space of expired restore points and broken runs back.

import { OperatingError } from "../../base/errors.ts";
import { GRACE_MS_MIN } from "../../operations/prune/types.ts";
import type { PruneReport, PruneSettings } from "../../operations/prune/types.ts";
import { parseSpan } from "../../repository/index.ts";
import { hasFlag, lastValue } from "../command-line.ts";
import type { CommandLine } from "../command-line.ts";
import { outputFlags, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE, EXIT_FAILED } from "../exit-status.ts";
import { renderPrune } from "../output/prune.ts";
import { repositoryOf } from "../repository-access.ts";
import { percentOf } from "../percent.ts";
import type { FlagSpec, Verb } from "../verb.ts";

const HOUR_MS = 3_600_000;

const flags: readonly FlagSpec[] = [
  {
    long: "grace",
    value: "SPAN",
    description: "how long something is listed before it is deleted: 24h, 3d (default: 24h, at least 1h)",
  },
  {
    long: "max-unused",
    value: "PERCENT",
    description: "repack packs when more than this part of all is not needed (default: 10%)",
  },
  {
    long: "no-wait",
    description: "do not watch runs of other machines to learn whether they live; they count as alive",
  },
  {
    long: "reseal",
    description:
      'seal packs anew that an earlier data key sealed (after "cairn key rotate"); reads and writes all of them',
  },
  { long: "dry-run", description: "say what would be done and why; change nothing" },
];

export const prune: Verb<PruneSettings, PruneReport> = {
  name: "prune",
  description:
    "Gives the space of expired restore points and of runs that broke off back. What nobody needs is listed first, and deleted by a " +
    "prune after the grace if it is still not needed; so run it every day. Safe beside backups and restores.",
  arguments: [],
  flags: [...flags, ...repositoryFlags, ...outputFlags],
  examples: ["cairn prune --repo /backups", "cairn prune --repo /backups --dry-run --max-unused 5%"],
  readSettings: (line, caller) => ({
    repository: repositoryOf(line, caller),
    graceMs: graceOf(line),
    unusedFractionMax: percentOf(line, "max-unused") ?? 0.1,
    isDryRun: hasFlag(line, "dry-run"),
    isWaiting: !hasFlag(line, "no-wait"),
    reseals: hasFlag(line, "reseal"),
  }),
  run: async (context, settings) => (await import("../../operations/prune/index.ts")).runPrune(context, settings),
  render: renderPrune,
  exitStatus: ({ failedCount }) => (failedCount === 0 ? EXIT_DONE : EXIT_FAILED),
};

function graceOf(line: CommandLine): number {
  const text = lastValue(line, "grace") ?? "24h";
  const { days, hours, months, years } = parseSpan(text, "--grace");
  if (years !== 0 || months !== 0) {
    throw new OperatingError("usage", `--grace must be weeks, days or hours, not "${text}"`);
  }
  const graceMs = (days * 24 + hours) * HOUR_MS;
  if (graceMs >= GRACE_MS_MIN) return graceMs;
  throw new OperatingError("usage", `--grace must be at least 1h, not "${text}"`);
}
