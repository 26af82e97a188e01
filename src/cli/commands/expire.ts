// cairn expire: removes restore points by rules.

import { OperatingError } from "../../base/errors.ts";
import type { ExpireReport, ExpireSettings } from "../../operations/expire/types.ts";
import { Calendar, parseSpan } from "../../repository/index.ts";
import type { RetentionRules } from "../../repository/index.ts";
import { hasFlag, lastValue } from "../command-line.ts";
import type { CommandLine } from "../command-line.ts";
import { outputFlags, positiveNumber, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE, EXIT_FAILED } from "../exit-status.ts";
import { renderExpire } from "../output/expire.ts";
import { repositoryOf } from "../repository-access.ts";
import { tagsOf } from "../tag-patterns.ts";
import type { FlagSpec, Verb } from "../verb.ts";

const RULES = "What stays, in each lineage:";
const COUNT_MAX = 1_000_000;

const tiers = ["hourly", "daily", "weekly", "monthly", "yearly"] as const;
const periods = { hourly: "hours", daily: "days", weekly: "weeks", monthly: "months", yearly: "years" } as const;

const ruleFlags: readonly FlagSpec[] = [
  { long: "keep-last", value: "NUMBER", description: 'the newest NUMBER, or "all"', group: RULES },
  ...tiers.map((tier) => ({
    long: `keep-${tier}`,
    value: "NUMBER",
    description: `the newest of each of the last NUMBER ${periods[tier]} that have one`,
    group: RULES,
  })),
  {
    long: "keep-within",
    value: "SPAN",
    description: "all that are at most so much older than the newest: 30d, 1y6m, 36h",
    group: RULES,
  },
  { long: "keep-tag", value: "KEY[=VALUE]", description: "all with this tag; may be repeated", group: RULES },
  {
    long: "minimum",
    value: "NUMBER",
    description: "the newest NUMBER undamaged ones, in any case (default: 1)",
    group: RULES,
  },
];

const otherFlags: readonly FlagSpec[] = [
  {
    long: "tag",
    value: "KEY[=VALUE]",
    description: "consider only restore points with this tag, the others stay; may be repeated",
  },
  { long: "time-zone", value: "ZONE", description: "where days and weeks begin, such as Europe/Zurich (default: UTC)" },
  { long: "dry-run", description: "say what would be removed and why; change nothing" },
];

export const expire: Verb<ExpireSettings, ExpireReport> = {
  name: "expire",
  description:
    "Removes the restore points that no rule keeps, each with its reasons. Held ones, the last good one, the last verified and " +
    'the last drilled one of each lineage always stay. Their space comes back with "cairn prune".',
  arguments: [{ name: "LINEAGE", description: "only the restore points of this lineage", isRequired: false }],
  flags: [...ruleFlags, ...otherFlags, ...repositoryFlags, ...outputFlags],
  examples: [
    "cairn expire --repo /backups --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run",
    "cairn expire shop@host --repo /backups --keep-within 30d --time-zone Europe/Zurich",
  ],
  readSettings: (line, caller) => ({
    repository: repositoryOf(line, caller),
    lineage: line.arguments[0] ?? null,
    rules: rulesOf(line),
    isDryRun: hasFlag(line, "dry-run"),
  }),
  run: async (context, settings) => (await import("../../operations/expire/index.ts")).runExpire(context, settings),
  render: renderExpire,
  exitStatus: ({ failedCount }) => (failedCount === 0 ? EXIT_DONE : EXIT_FAILED),
};

function rulesOf(line: CommandLine): RetentionRules {
  const within = lastValue(line, "keep-within");
  const timeZone = lastValue(line, "time-zone") ?? "UTC";
  // Throws for a zone that is not known, before anything is opened.
  new Calendar(timeZone);
  return {
    last: countOf(line, "keep-last"),
    hourly: countOf(line, "keep-hourly"),
    daily: countOf(line, "keep-daily"),
    weekly: countOf(line, "keep-weekly"),
    monthly: countOf(line, "keep-monthly"),
    yearly: countOf(line, "keep-yearly"),
    within: within === null ? null : parseSpan(within, "--keep-within"),
    keepTags: tagsOf(line, "keep-tag"),
    minimum: positiveNumber(line, "minimum") ?? 1,
    onlyTags: tagsOf(line, "tag"),
    onlyLineages: null,
    timeZone,
  };
}

/** 0 when the option was not given. */
function countOf(line: CommandLine, name: string): number {
  const text = lastValue(line, name);
  if (text === null) return 0;
  if (text === "all") return Infinity;
  const value = Number(text);
  if (/^\d{1,7}$/.test(text) && value <= COUNT_MAX) return value;
  throw new OperatingError("usage", `--${name} must be a number up to ${COUNT_MAX} or "all", not "${text}"`);
}
