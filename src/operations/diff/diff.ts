// `cairn diff`: what changed between two restore points: definitions as text, rows and bytes by table with the segments
// touched, sequences. Read from manifests and lists alone; no server, no pg_dump, no chunk.

import type { RestorePoint } from "../../repository/index.ts";
import { beginPhase, warn } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import { RestorePointContents } from "../restore-point-contents.ts";
import { schemaChanges, sequenceChanges } from "./schema-changes.ts";
import { areLargeObjectsChanged, tableChanges } from "./table-changes.ts";
import type { DiffReport, DiffSettings, DiffSide } from "./types.ts";

/** Compares two restore points of one repository. */
export async function runDiff(context: OperationContext, settings: DiffSettings): Promise<DiffReport> {
  const { signal } = context;
  await using repository = await openRepositoryAt(settings.repository);
  const open = async (reference: string): Promise<RestorePointContents> => {
    const id = await repository.resolve(reference, signal);
    return await RestorePointContents.open(await repository.openRestorePoint(id, signal));
  };
  const [before, after] = [await open(settings.before), await open(settings.after)];
  const [old, young] = [before.restorePoint, after.restorePoint];
  beginPhase(context, "compare", `comparing ${old.id} with ${young.id}`);
  const { changes, unchangedCount } = await tableChanges(old, young, signal);
  return {
    before: sideOf(old),
    after: sideOf(young),
    schema: schemaChanges(before.toc, after.toc),
    tables: changes,
    unchangedTableCount: unchangedCount,
    sequences: sequenceChanges(before.toc, after.toc),
    largeObjects: {
      before: amountOfObjects(old),
      after: amountOfObjects(young),
      isChanged: await areLargeObjectsChanged(old, young, signal),
    },
    warnings: warningsOf(old, young).map((message) => warn(context, { message })),
  };
}

function sideOf({ id, manifest }: RestorePoint): DiffSide {
  return {
    id,
    lineage: manifest.lineage.name,
    databaseName: manifest.lineage.databaseName,
    snapshotTakenAt: manifest.snapshotAt,
    serverVersion: manifest.source.serverVersion,
    rowCount: manifest.totals.rows,
    rawBytes: manifest.totals.rawBytes,
  };
}

function amountOfObjects({ manifest }: RestorePoint): { readonly count: number; readonly rawBytes: number } {
  const rawBytes = manifest.largeObjects.reduce((sum, set) => sum + set.rawBytes, 0);
  return { count: manifest.totals.largeObjects, rawBytes };
}

/** Why something may look changed that is not. */
function warningsOf(before: RestorePoint, after: RestorePoint): string[] {
  const warnings: string[] = [];
  const [one, other] = [before.manifest, after.manifest];
  if (one.tool.pgDumpVersion !== other.tool.pgDumpVersion) {
    const versions = `${one.tool.pgDumpVersion} and ${other.tool.pgDumpVersion}`;
    warnings.push(`the definitions were written by pg_dump ${versions}: some may be worded otherwise`);
  }
  if (before.id > after.id) warnings.push("the first restore point is the newer one");
  const [flags, otherFlags] = [one, other].map(({ options }) => JSON.stringify(options["selection"] ?? []));
  if (flags !== otherFlags) warnings.push("the two were taken with other selection options");
  return warnings;
}
