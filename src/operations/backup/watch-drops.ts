// Holds what a backup is about to commit against the restore points before it (drops.ts says what is too much less).

import { readToc, memorySource } from "../../archive/index.ts";
import type { CommitInput, Repository, RestorePoint } from "../../repository/index.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";
import { DROP_LIMITS_DEFAULT, findDrops, type DropFinding, type DropLimits, type TableRows } from "./drops.ts";

const RESTORE_POINTS_LOOKED_AT = 5;

export interface DropWatch {
  readonly repository: Repository;
  /** The newest restore point of the lineage. */
  readonly parent: RestorePoint | null;
  readonly input: CommitInput;
  readonly limits: DropLimits | undefined;
}

/** Reports and gives the findings; none when nothing before was taken with the same selection. */
export async function watchDrops(context: OperationContext, watch: DropWatch): Promise<readonly DropFinding[]> {
  const { repository, parent, input, limits = DROP_LIMITS_DEFAULT } = watch;
  const selection = selectionOf(input.options);
  const recent = await repository.recentSummaries(input.lineage, RESTORE_POINTS_LOOKED_AT, context.signal);
  const before = recent.filter(({ options }) => selectionOf(options) === selection).map(({ totals }) => totals);
  if (before.length === 0) return [];
  const isComparable = parent !== null && selectionOf(parent.manifest.options) === selection;
  const tablesBefore = isComparable && limits.tablePercent !== null ? await tablesOf(parent, input) : [];
  const { relations, largeObjects } = input;
  const now = {
    rows: relations.reduce((sum, { rowCount }) => sum + rowCount, 0),
    rawBytes: [...relations, ...largeObjects].reduce((sum, { rawBytes }) => sum + rawBytes, 0),
    largeObjects: largeObjects.reduce((sum, { objectCount }) => sum + objectCount, 0),
    tables: relations,
  };
  const findings = findDrops({ now, before, tablesBefore }, limits);
  for (const { message } of findings) {
    const hint = "The restore point is kept. Is this the right database, and was this meant to happen?";
    warn(context, { message, hint });
  }
  return findings;
}

function selectionOf(options: CommitInput["options"]): string {
  return JSON.stringify(options["selection"] ?? []);
}

/** Tables of the parent; a partition that is not there any more went as partitions do. */
async function tablesOf(parent: RestorePoint, { relations }: CommitInput): Promise<readonly TableRows[]> {
  const keyOf = (namespace: string | null, name: string): string => JSON.stringify([namespace ?? "", name]);
  const there = new Set(relations.map(({ namespace, name }) => keyOf(namespace, name)));
  const before = parent.manifest.relations;
  if (before.every(({ namespace, name }) => there.has(keyOf(namespace, name)))) return before;
  const { toc } = await readToc(memorySource(parent.toc));
  const attached = toc.entries.filter(({ description }) => description === "TABLE ATTACH");
  const partitions = new Set(attached.map(({ namespace, tag }) => keyOf(namespace, tag)));
  return before.filter(
    ({ namespace, name }) => there.has(keyOf(namespace, name)) || !partitions.has(keyOf(namespace, name)),
  );
}
