// `cairn drill`: proves that a restore point restores. It is restored whole into a database of its own, everything there is
// compared with the archive by content, and the table of contents that pg_dump writes of it, entry by entry.
// Whatever is missing or different is named; what could not be compared too. The database is gone in the end.

import { defaultJobs } from "../../dump/index.ts";
import { openSession } from "../../postgres/index.ts";
import { checkTarget, compareContents, planRestore, runRestore, type RestoreResult } from "../../restore/index.ts";
import { warn } from "../events.ts";
import { globalsOf } from "../globals-facts.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import { RestorePointContents } from "../restore-point-contents.ts";
import { RestoreReporter } from "../restore/restore-reporter.ts";
import { analyzeTables } from "./analyze-tables.ts";
import { runAssertions } from "./assertions.ts";
import { compareEntries } from "./compare-entries.ts";
import { DrilledContents } from "./drilled-contents.ts";
import { drillCluster } from "./drill-cluster.ts";
import type { DrillFacts, Drilling, DrillRequest } from "./drilling.ts";
import { evidencePage } from "./evidence-page.ts";
import { checkEvidenceFolder, writeEvidence } from "./evidence.ts";
import { keepMark, markOf } from "./keep-mark.ts";
import { markDamage } from "./mark-damage.ts";
import { openNamed } from "./named-place.ts";
import { PhaseTimer } from "./phase-timer.ts";
import type { DrillPlace, PlaceRequest } from "./place.ts";
import { makeReport } from "./report.ts";
import { findJudge, readSettingsOf, selectionOf } from "./restored-toc.ts";
import { openThrowaway } from "./throwaway-place.ts";
import type { ClusterDrillReport, DrillReport, DrillSettings, OnRestored } from "./types.ts";

/**
 * Drills a restore point, of one database or of a whole server. What is wrong with it is in the report, and marked beside
 * it; thrown is what ended the drill.
 */
export async function runDrill(
  context: OperationContext,
  settings: DrillSettings,
  onRestored: OnRestored = () => Promise.resolve(),
): Promise<DrillReport | ClusterDrillReport> {
  const timer = new PhaseTimer(context);
  timer.begin("open", "opening the restore point");
  await using repository = await openRepositoryAt(settings.repository);
  const id = await repository.resolve(settings.reference, context.signal);
  const restorePoint = await repository.openToJudge(id, context.signal);
  if (settings.evidence !== null) await checkEvidenceFolder(settings.evidence);
  const request = { settings, repository, restorePoint, timer, onRestored };
  if (restorePoint.manifest.cluster !== undefined) return await drillCluster(context, request, drillDatabase);
  const report = await drillDatabase(context, request, async (place) => await openPlace(context, settings, place));
  return await keepEvidence(context, settings, report);
}

/** Drills the restore point of one database in the place that is made for it. */
async function drillDatabase(
  context: OperationContext,
  request: DrillRequest,
  makePlace: (request: PlaceRequest) => Promise<DrillPlace>,
): Promise<DrillReport> {
  const { onRestored, repository, settings, timer } = request;
  const startedAt = new Date();
  const stored = await RestorePointContents.open(request.restorePoint);
  const { manifest } = stored.restorePoint;
  const flags = selectionOf(manifest);
  const judge = await findJudge(context, manifest, settings.pgDump);

  timer.begin("server", "making a place to restore into");
  const contents = new DrilledContents(stored);
  await using place = await makePlace(placeRequest(contents));
  contents.toc = place.toc;
  const jobs = settings.jobs ?? defaultJobs();
  const drilling: Drilling = { context, settings, repository, contents, place, timer, jobs, judge, warnings: [] };

  const { restored, durationMs } = await restore(drilling);
  timer.begin("between");
  await onRestored(place.target);
  const content = await compare(drilling, readSettingsOf(flags));
  await markDamage(drilling, restored.entriesFailed);
  timer.begin("table of contents", "comparing the tables of contents");
  const entries = await compareEntries(drilling, flags);
  timer.begin("analyze", "gathering statistics (ANALYZE)");
  drilling.warnings.push(...(await analyzeTables(context, place.target)));
  if (settings.assertions.length > 0) timer.begin("assertions", "asking what is asserted");
  const assertions = await runAssertions(context, place.target, settings.assertions);
  timer.end();

  const facts = { startedAt, restored, restoreDurationMs: durationMs, content, entries, assertions };
  const report = makeReport(drilling, facts);
  await keepMark(context, repository, markOf(report));
  return report;
}

function placeRequest({ toc, restorePoint }: DrilledContents): PlaceRequest {
  const { source, totals } = restorePoint.manifest;
  const sourceMajor = Math.floor(source.serverVersionNum / 10_000);
  const globals = globalsOf(restorePoint.manifest);
  return { toc, restorePointId: restorePoint.id, sourceMajor, rawBytes: totals.rawBytes, globals };
}

async function openPlace(
  context: OperationContext,
  settings: DrillSettings,
  request: PlaceRequest,
): Promise<DrillPlace> {
  if (settings.on === null) return await openThrowaway(context, request);
  return await openNamed(context, settings.on, request);
}

async function restore({ context, contents, place, timer, jobs }: Drilling): Promise<{
  readonly restored: RestoreResult;
  readonly durationMs: number;
}> {
  const startedAtMs = performance.now();
  timer.begin("restore", `restoring ${contents.restorePoint.id} into database "${place.target.database}"`);
  const { signal } = context;
  const connect = (database: string | null, connectSignal: AbortSignal): ReturnType<typeof openSession> =>
    openSession(
      { ...place.maintenance, database: database ?? place.maintenance.database },
      { signal: connectSignal, applicationName: "cairn drill" },
    );
  const plan = planRestore(
    contents.toc,
    { create: true, jobs },
    { version: place.version.number, sizes: contents.sizes },
  );
  await using session = await connect(null, signal);
  const sourceVersion = contents.toc.header.serverVersion;
  const { findings } = await checkTarget(session, plan, { allowsNonEmpty: false, sourceVersion });
  for (const { message, hint } of findings) warn(context, { message, hint });
  await session.close();
  const reporter = new RestoreReporter(context);
  reporter.expect(plan);
  const restored = await runRestore(contents, plan, { connect, signal, onEvent: (event) => reporter.report(event) });
  for (const message of restored.warnings) warn(context, { message });
  return { restored, durationMs: Math.round(performance.now() - startedAtMs) };
}

async function compare(
  { context, contents, place, timer, jobs }: Drilling,
  settings: readonly string[],
): Promise<DrillFacts["content"]> {
  let tablesDone = 0;
  return await compareContents({
    contents,
    connect: (_database, signal) => openSession(place.target, { signal, applicationName: "cairn drill" }),
    jobs,
    settings,
    signal: context.signal,
    onStep: (step) => timer.begin(`compare ${step}`, `comparing ${step}`),
    onTable: ({ stored }, tablesTotal) => {
      tablesDone += 1;
      const fractionDone = tablesDone / tablesTotal;
      const progress = { rawBytes: 0, storedBytes: 0, rowCount: stored?.rowCount ?? 0, fractionDone };
      context.onEvent({ type: "progress", progress: { ...progress, tablesDone, tablesTotal } });
    },
  });
}

async function keepEvidence(
  context: OperationContext,
  settings: DrillSettings,
  report: DrillReport,
): Promise<DrillReport> {
  if (settings.evidence === null) return report;
  context.onEvent({ type: "phase", phase: "evidence", message: `writing the evidence into ${settings.evidence}` });
  return await writeEvidence(settings.evidence, report, evidencePage);
}
