// The report of a drill, out of what its steps found.

import { formatVersion } from "../../postgres/index.ts";
import type { TableComparison } from "../../restore/index.ts";
import type { DrillFacts, Drilling } from "./drilling.ts";
import type { DrilledTable, DrillFinding, DrillReport } from "./types.ts";

/** Puts the report together. */
export function makeReport(drilling: Drilling, facts: DrillFacts): DrillReport {
  const { contents, place, repository, timer } = drilling;
  const { content, entries, restored, assertions } = facts;
  const { manifest } = contents.restorePoint;
  const differences = findingsOf(facts);
  const notCompared = [...contents.notCompared, ...place.notCompared, ...content.notCompared, ...entries.notCompared];
  return {
    restorePointId: manifest.id,
    lineage: manifest.lineage.name,
    databaseName: manifest.lineage.databaseName,
    snapshotTakenAt: manifest.snapshotAt,
    repository: repository.description,
    outcome: differences.length > 0 ? "failed" : notCompared.length > 0 ? "partial" : "passed",
    server: { kind: place.kind, version: formatVersion(place.version), description: place.description },
    startedAt: facts.startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    restoreDurationMs: facts.restoreDurationMs,
    phases: timer.phases.filter(({ name }) => name !== "between"),
    rowCount: restored.rowsByTable.reduce((sum, { rows }) => sum + rows, 0),
    rawBytes: restored.rowsByTable.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    compared: {
      tables: content.tables.length,
      sequences: content.sequenceCount,
      constraints: content.constraintCount,
      indexes: content.indexCount,
      largeObjects: content.largeObjectCount,
      entries: entries.comparedCount,
    },
    pgDump: entries.pgDump,
    tables: content.tables.map(tableOf),
    differences,
    notCompared,
    excused: entries.excused,
    adaptations: restored.adaptations.map(({ description, tag, change }) => `${description} ${tag}: ${change}`),
    assertions,
    warnings: drilling.warnings,
    evidence: null,
  };
}

function findingsOf({ restored, content, entries, assertions }: DrillFacts): DrillFinding[] {
  const failures = restored.entriesFailed.map(({ description, namespace, tag, errors }): DrillFinding => {
    const name = `${description} ${namespace === null || namespace === "" ? "" : `${namespace}.`}${tag}`;
    const messages = errors.map(({ message, hint }) => (hint === undefined ? message : `${message} (${hint})`));
    return { kind: "restore", name, what: `was not restored: ${messages.join("; ")}`, expected: null, found: null };
  });
  const skipped = restored.entriesSkipped.length;
  if (!restored.isComplete && failures.length === 0) {
    const what = `was not complete: ${skipped} entries were not tried`;
    failures.push({ kind: "restore", name: "the restore", what, expected: null, found: null });
  }
  const compared = [...content.differences, ...entries.differences].map(
    ({ kind, name, what, expected = null, found = null }): DrillFinding => ({ kind, name, what, expected, found }),
  );
  const untrue = assertions.flatMap(({ sql, problem }): DrillFinding[] =>
    problem === null
      ? []
      : [{ kind: "assertion", name: sql, what: `is not true: ${problem}`, expected: null, found: null }],
  );
  return [...failures, ...compared, ...untrue];
}

function tableOf({ name, stored, restored }: TableComparison): DrilledTable {
  return {
    name,
    storedRows: stored?.rowCount ?? null,
    restoredRows: restored?.rowCount ?? null,
    storedSum: stored?.sum ?? null,
    restoredSum: restored?.sum ?? null,
    isEqual: stored !== null && stored.rowCount === restored?.rowCount && stored.sum === restored.sum,
  };
}
