// A drill of a whole server's restore point: one throwaway server with its roles and tablespaces, on which each database is
// drilled, one after another, and dropped again; then what the server has of roles and tablespaces is held against what the
// restore point carries. One report, one evidence; each database's own restore point is marked too.

import { isOperatingError, messageOf, OperatingError } from "../../base/errors.ts";
import { formatVersion, openSession, quoteIdentifier, type ConnectionSettings } from "../../postgres/index.ts";
import type { ClusterMember } from "../../repository/index.ts";
import { serverNeeds } from "../../restore/index.ts";
import { beginPhase } from "../events.ts";
import { globalsOf } from "../globals-facts.ts";
import type { OperationContext } from "../operation.ts";
import { RestorePointContents } from "../restore-point-contents.ts";
import { clusterEvidencePage } from "./cluster-evidence-page.ts";
import { compareGlobals, makeGlobals } from "./cluster-globals.ts";
import type { DrillRequest } from "./drilling.ts";
import { writeEvidence } from "./evidence.ts";
import { keepMark } from "./keep-mark.ts";
import { PhaseTimer } from "./phase-timer.ts";
import { dropDatabase } from "./named-place.ts";
import type { DrillPlace, PlaceRequest } from "./place.ts";
import {
  describeThrowaway,
  openOnThrowaway,
  startFitting,
  type ServerRequest,
  type ThrowawayGround,
} from "./throwaway-place.ts";
import type { ClusterDrillReport, DrilledDatabase, DrillReport } from "./types.ts";

/** Drills one database in the place that is made for it. */
type DrillDatabase = (
  context: OperationContext,
  request: DrillRequest,
  makePlace: (request: PlaceRequest) => Promise<DrillPlace>,
) => Promise<DrillReport>;

/** Drills all of it. Throws "usage" for what makes no sense of a whole server. */
export async function drillCluster(
  context: OperationContext,
  request: DrillRequest,
  drillDatabase: DrillDatabase,
): Promise<ClusterDrillReport> {
  const { repository, restorePoint, settings, timer } = request;
  const { manifest } = restorePoint;
  const startedAt = new Date();
  refuseOptions(request);
  const globals = globalsOf(manifest);
  if (globals === null) throw new OperatingError("corrupt", `cluster restore point ${manifest.id} carries no roles`);
  const members = manifest.cluster?.members ?? [];

  timer.begin("server", "making a throwaway server");
  await using server = await startFitting(context, await needsOf(context, request, members));
  const ground = await openGround(context, server, members);
  const made = await makeGlobals(context, ground.settings, globals);
  const databases: DrilledDatabase[] = [];
  for (const member of members) {
    databases.push(await drillMember(context, { request, drillDatabase, ground, member }));
  }
  beginPhase(context, "globals", "comparing roles and tablespaces");
  const compared = await compareGlobals(context, ground.settings, globals, made);
  const report = summarize(request, {
    startedAt,
    databases,
    globals: compared,
    server: {
      kind: "throwaway",
      version: formatVersion(server.binaries.version),
      description: describeThrowaway(server),
    },
  });
  const kept =
    settings.evidence === null ? report : await writeEvidence(settings.evidence, report, clusterEvidencePage);
  await keepMark(context, repository, markOfCluster(kept));
  return kept;
}

function refuseOptions({ restorePoint, settings }: DrillRequest): void {
  const what = settings.on !== null ? "--on" : settings.assertions.length > 0 ? "--assert" : null;
  if (what === null) return;
  throw new OperatingError("usage", `${what} cannot be used: restore point ${restorePoint.id} is of a whole server`, {
    hint: `Its roles and databases are made on a throwaway server. "cairn show ${restorePoint.id}" lists the restore points of its databases, which can be drilled with ${what}.`,
  });
}

/** The extensions of all databases, and room for the largest. */
async function needsOf(
  { signal }: OperationContext,
  { repository, restorePoint }: DrillRequest,
  members: readonly ClusterMember[],
): Promise<ServerRequest> {
  const extensions = new Set<string>();
  for (const { restorePointId } of members) {
    if (restorePointId === null) continue;
    try {
      const { toc } = await RestorePointContents.open(await repository.openRestorePoint(restorePointId, signal));
      for (const name of serverNeeds(toc).extensions) extensions.add(name);
    } catch (error) {
      // Told when its turn comes.
      if (!isOperatingError(error, "corrupt") && !isOperatingError(error, "restore_point_not_found")) throw error;
    }
  }
  const rawBytes = Math.max(0, ...members.map((member) => member.rawBytes));
  const sourceMajor = Math.floor(restorePoint.manifest.source.serverVersionNum / 10_000);
  return { extensions: [...extensions], rawBytes, sourceMajor };
}

/** A database of the drill's own to connect to: those that every server has are dropped and restored too. */
async function openGround(
  { signal }: OperationContext,
  server: ThrowawayGround["server"],
  members: readonly ClusterMember[],
): Promise<ThrowawayGround> {
  const taken = new Set(members.map(({ databaseName }) => databaseName));
  let database = "cairn_drill_ground";
  while (taken.has(database)) database += "_";
  await using session = await openSession(server.settings, { signal });
  await session.query(`CREATE DATABASE ${quoteIdentifier(database)} TEMPLATE template0;`, { signal });
  const settings: ConnectionSettings = { ...server.settings, database };
  return { server, settings, end: (target) => dropDatabase(settings, target.database ?? "") };
}

interface MemberDrill {
  readonly request: DrillRequest;
  readonly drillDatabase: DrillDatabase;
  readonly ground: ThrowawayGround;
  readonly member: ClusterMember;
}

/** What ends the drill of one database is in the report; the others are drilled all the same. */
async function drillMember(
  context: OperationContext,
  { drillDatabase, ground, member, request }: MemberDrill,
): Promise<DrilledDatabase> {
  const { databaseName, error, restorePointId } = member;
  if (restorePointId === null) {
    return {
      databaseName,
      restorePointId,
      report: null,
      error: `it was not backed up: ${error ?? "its backup failed"}`,
    };
  }
  beginPhase(context, "database", `database "${databaseName}"`);
  try {
    const restorePoint = await request.repository.openToJudge(restorePointId, context.signal);
    const timer = new PhaseTimer(context);
    const report = await drillDatabase(context, { ...request, restorePoint, timer }, async (place) => {
      // Its roles are the server's.
      return await openOnThrowaway(context, ground, { ...place, globals: null });
    });
    return { databaseName, restorePointId, report, error: null };
  } catch (thrown) {
    context.signal.throwIfAborted();
    if (!isOperatingError(thrown)) throw thrown;
    return { databaseName, restorePointId, report: null, error: messageOf(thrown) };
  }
}

function summarize(
  { repository, restorePoint }: DrillRequest,
  found: Pick<ClusterDrillReport, "databases" | "globals" | "server"> & { readonly startedAt: Date },
): ClusterDrillReport {
  const { databases, globals, server, startedAt } = found;
  const { manifest } = restorePoint;
  const reports = databases.flatMap(({ report }) => report ?? []);
  const sum = (of: (report: DrillReport) => number): number => reports.reduce((total, one) => total + of(one), 0);
  const isFailed =
    globals.differences.length > 0 ||
    reports.length < databases.length ||
    reports.some((one) => one.outcome === "failed");
  const isPartial = globals.notCompared.length > 0 || reports.some(({ outcome }) => outcome === "partial");
  return {
    restorePointId: manifest.id,
    lineage: manifest.lineage.name,
    snapshotTakenAt: manifest.snapshotAt,
    repository: repository.description,
    outcome: isFailed ? "failed" : isPartial ? "partial" : "passed",
    server,
    startedAt: startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    restoreDurationMs: sum((report) => report.restoreDurationMs),
    rowCount: sum((report) => report.rowCount),
    rawBytes: sum((report) => report.rawBytes),
    globals,
    databases,
    warnings: [],
    evidence: null,
  };
}

function markOfCluster(report: ClusterDrillReport): Parameters<typeof keepMark>[2] {
  const { databases, globals } = report;
  const ofDatabases = databases.flatMap(({ databaseName, error, report: one }) => {
    if (one === null) return [`database "${databaseName}" ${error ?? "was not drilled"}`];
    return one.differences.map(({ name, what }) => `${databaseName}: ${name} ${what}`);
  });
  const differences = [...globals.differences.map(({ name, what }) => `${name} ${what}`), ...ofDatabases];
  const notCompared = databases.flatMap(({ databaseName, report: one }) => {
    return (one?.notCompared ?? []).map(({ name, reason }) => `${databaseName}: ${name}: ${reason}`);
  });
  return {
    restorePointId: report.restorePointId,
    outcome: report.outcome,
    serverVersion: report.server.version,
    restoreDurationMs: report.restoreDurationMs,
    differenceCount: differences.length,
    differences,
    notCompared: [...globals.notCompared.map(({ name, reason }) => `${name}: ${reason}`), ...notCompared],
  };
}
