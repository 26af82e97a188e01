// `cairn expire`: removes the manifests of restore points that no rule keeps. Never opens a pack.

import { OperatingError } from "../../base/errors.ts";
import { hasKeepRule } from "../../repository/index.ts";
import type { ExpireDecision, LineageFacts, Repository } from "../../repository/index.ts";
import { beginPhase } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import type { ExpireReport, ExpireRow, ExpireSettings } from "./types.ts";

const LISTED_MAX = 20;

/** Applies the rules; every restore point is in the report with the reasons for what became of it. */
export async function runExpire(context: OperationContext, settings: ExpireSettings): Promise<ExpireReport> {
  const { isDryRun, rules } = settings;
  if (!hasKeepRule(rules)) {
    throw new OperatingError("usage", "the policy keeps nothing: no --keep option was given", {
      hint: "Say what stays, for example --keep-daily 7 --keep-weekly 4 --keep-monthly 12.",
    });
  }
  await using repository = await openRepositoryAt(settings.repository);
  const lineages = await repository.lineages({ signal: context.signal, onDamage: () => undefined });
  const onlyLineages = settings.lineage === null ? null : keysOf(lineages, settings.lineage);
  beginPhase(context, "expire", isDryRun ? "deciding what would be removed" : "removing what no rule keeps");
  const options = { rules: { ...rules, onlyLineages }, isDryRun, signal: context.signal };
  return reportOf(await repository.expire(options), lineages, settings);
}

function keysOf(lineages: Awaited<ReturnType<Repository["lineages"]>>, wanted: string): ReadonlySet<string> {
  const keys = lineages.filter(({ label, name }) => name === wanted || label === wanted).map(({ key }) => key);
  if (keys.length > 0) return new Set(keys);
  const labels = lineages.slice(0, LISTED_MAX).map(({ label }) => label);
  throw new OperatingError("restore_point_not_found", `there is no lineage "${wanted}"`, {
    detail: labels.length === 0 ? "The repository has no restore points." : `There are ${labels.join(", ")}.`,
  });
}

function reportOf(
  decisions: readonly ExpireDecision[],
  lineages: readonly LineageFacts[],
  { isDryRun, rules }: ExpireSettings,
): ExpireReport {
  const labels = new Map(lineages.map(({ key, label }) => [key, label]));
  const rows = decisions.map(({ failure, id, isKept, lineageKey, reasons, summary }): ExpireRow => {
    const snapshotTakenAt = summary?.snapshotAt ?? null;
    return { id, lineage: labels.get(lineageKey) ?? lineageKey, snapshotTakenAt, isKept, reasons, failure };
  });
  const failedCount = rows.filter(({ failure }) => failure !== null).length;
  const keptCount = rows.filter(({ isKept }) => isKept).length;
  const removedCount = rows.length - keptCount - failedCount;
  return { isDryRun, timeZone: rules.timeZone, keptCount, removedCount, failedCount, restorePoints: rows };
}
