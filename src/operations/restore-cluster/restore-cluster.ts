// `cairn restore --cluster`: a server again from a cluster restore point. Everything that can be looked at is looked at
// first; then roles and tablespaces, then each database. What fails is listed, and the rest goes on.

import { isOperatingError, messageOf, OperatingError } from "../../base/errors.ts";
import { applyGlobals, planGlobals, readGlobals, type Globals } from "../../globals/index.ts";
import { describeServer, type ConnectionSettings, type Session } from "../../postgres/index.ts";
import type { ClusterMember, Manifest, Repository } from "../../repository/index.ts";
import { beginPhase, warn } from "../events.ts";
import { globalsOf } from "../globals-facts.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext, OperationEvent } from "../operation.ts";
import { originInRepository, restoreOpened, type RestoreReport } from "../restore/index.ts";
import { applyProperties, createDatabase, isOnEveryServer, planDatabaseEntries } from "./database-entries.ts";
import { checkServer, connectToTarget, findExisting, openTarget } from "./target-server.ts";
import type { ClusterRestoreReport, ClusterRestoreSettings, RestoredDatabase } from "./types.ts";

/** Restores a whole server. Failures are in the report; thrown is what ended the restore before its first statement. */
export async function runClusterRestore(
  context: OperationContext,
  settings: ClusterRestoreSettings,
): Promise<ClusterRestoreReport> {
  const startedAtMs = performance.now();
  beginPhase(context, "open", "opening the cluster restore point and connecting to the target");
  await using repository = await openRepositoryAt(settings.repository);
  const { manifest, members, globals } = await openCluster(context, repository, settings.reference);
  await using session = await connectToTarget(context, settings.target);
  await checkServer(context, session, { source: manifest.source, allowsOlderServer: settings.allowsOlderServer });
  const existing = await findExisting(context, session, namesOf(members));

  const globalsReport = await restoreGlobals(context, session, { globals, settings });
  await session.close();
  const databases: RestoredDatabase[] = [];
  for (const member of members) {
    const wasThere = existing.has(member.databaseName);
    const restoring = { repository, member, wasThere, maintenance: session.settings, jobs: settings.jobs ?? 1 };
    databases.push(await restoreDatabase(context, restoring));
  }
  const reports = databases.flatMap(({ report }) => report ?? []);
  return {
    restorePointId: manifest.id,
    server: describeServer(session.settings),
    globals: globalsReport,
    databases,
    rowCount: reports.reduce((sum, { rowCount }) => sum + rowCount, 0),
    rawBytes: reports.reduce((sum, { rawBytes }) => sum + rawBytes, 0),
    durationMs: Math.round(performance.now() - startedAtMs),
    isComplete:
      globalsReport.failed.length === 0 &&
      databases.every(({ report, error }) => error === null && report?.isComplete === true),
  };
}

interface OpenedCluster {
  readonly manifest: Manifest;
  readonly members: readonly ClusterMember[];
  readonly globals: Globals;
}

async function openCluster(
  context: OperationContext,
  repository: Repository,
  reference: string,
): Promise<OpenedCluster> {
  const id = await repository.resolve(reference, context.signal);
  const { manifest } = await repository.openRestorePoint(id, context.signal);
  const members = manifest.cluster?.members;
  if (members === undefined) {
    throw new OperatingError("usage", `restore point ${id} is of one database, not of a server`, {
      hint: "Restore it without --cluster, for example with --create.",
    });
  }
  const globals = globalsOf(manifest);
  if (globals === null) throw new OperatingError("corrupt", `cluster restore point ${id} carries no roles`);
  for (const member of members) await warnIfMissing(context, repository, member);
  return { manifest, members, globals };
}

/** Told before the first statement; the rest can be restored all the same. */
async function warnIfMissing(
  context: OperationContext,
  repository: Repository,
  { databaseName, restorePointId, error }: ClusterMember,
): Promise<void> {
  if (restorePointId === null) {
    const detail = error === null ? undefined : `Its backup failed: ${error}`;
    warn(context, { message: `database "${databaseName}" is missing in the cluster restore point`, detail });
    return;
  }
  try {
    await repository.resolve(restorePointId, context.signal);
  } catch (thrown) {
    if (!isOperatingError(thrown, "restore_point_not_found")) throw thrown;
    const message = `restore point ${restorePointId} of database "${databaseName}" is not in the repository`;
    warn(context, { message, hint: "An older one of its lineage may be: cairn list shows them." });
  }
}

function namesOf(members: readonly ClusterMember[]): string[] {
  return members.flatMap(({ databaseName, restorePointId }) => (restorePointId === null ? [] : databaseName));
}

async function restoreGlobals(
  context: OperationContext,
  session: Session,
  { globals, settings }: { readonly globals: Globals; readonly settings: ClusterRestoreSettings },
): Promise<ClusterRestoreReport["globals"]> {
  const { signal } = context;
  beginPhase(context, "globals", `making ${globals.roles.length} roles and ${globals.tablespaces.length} tablespaces`);
  const target = await readGlobals(session, { signal, withPasswords: true });
  const { tablespaceMapping } = settings;
  for (const location of Object.keys(tablespaceMapping)) {
    if (globals.tablespaces.some((tablespace) => tablespace.location === location)) continue;
    throw new OperatingError("usage", `no tablespace of the cluster lies in "${location}"`, {
      hint: '"cairn show RP --globals" prints where they lie.',
    });
  }
  const isSuperuser = session.connection.parameters.get("is_superuser") === "on";
  const plan = planGlobals(globals, target, { isSuperuser, tablespaceMapping });
  const failed = await applyGlobals(session, plan, { source: globals, signal });
  for (const { subject, error } of failed) warn(context, { message: `could not make ${subject}: ${error}` });
  const { differences, adaptations } = plan;
  return { doneCount: plan.steps.length - failed.length, failed, differences, adaptations };
}

interface RestoringDatabase {
  readonly repository: Repository;
  readonly member: ClusterMember;
  readonly wasThere: boolean;
  readonly maintenance: ConnectionSettings;
  readonly jobs: number;
}

async function restoreDatabase(context: OperationContext, restoring: RestoringDatabase): Promise<RestoredDatabase> {
  const { databaseName, restorePointId, error } = restoring.member;
  const { wasThere } = restoring;
  const facts = { databaseName, restorePointId, wasThere };
  if (restorePointId === null) return { ...facts, report: null, error: error ?? "its backup failed" };
  context.signal.throwIfAborted();
  try {
    const report = await restoreMember(contextOf(context, databaseName), restoring, restorePointId);
    return { ...facts, report, error: null };
  } catch (thrown) {
    context.signal.throwIfAborted();
    const hint = isOperatingError(thrown) ? thrown.hint : undefined;
    warn(context, { message: `could not restore database "${databaseName}": ${messageOf(thrown)}`, hint });
    return { ...facts, report: null, error: messageOf(thrown) };
  }
}

async function restoreMember(
  context: OperationContext,
  { repository, member, wasThere, maintenance, jobs }: RestoringDatabase,
  restorePointId: string,
): Promise<RestoreReport> {
  const { databaseName } = member;
  const { signal } = context;
  const origin = await originInRepository(context, repository, restorePointId);
  const { toc } = origin.contents;
  await using first = await openTarget(maintenance, signal);
  const entries = planDatabaseEntries(toc, first.serverVersion.number);
  if (!wasThere) await createDatabase(first, { toc, tasks: entries.create }, signal);
  await first.close();
  const target = { ...maintenance, database: databaseName };
  const report = await restoreOpened(context, {
    settings: { options: { jobs }, mode: { kind: "in-place" }, allowsNonEmptyTarget: false },
    target,
    origin,
  });
  if (wasThere && !isOnEveryServer(databaseName)) {
    const kept = "it was there: its owner, settings and privileges are kept, and those of the source not applied";
    warn(context, { message: `database "${databaseName}": ${kept}` });
    return { ...report, adaptations: [kept, ...report.adaptations] };
  }
  await using session = await openTarget(target, signal);
  const { doneCount, failed } = await applyProperties(session, { toc, tasks: entries.properties }, signal);
  return {
    ...report,
    entriesDone: report.entriesDone + doneCount + (wasThere ? 0 : entries.create.length),
    entriesFailed: [...report.entriesFailed, ...failed.map((failure) => ({ ...failure, tag: databaseName }))],
    adaptations: [...(wasThere ? [] : entries.adaptations), ...report.adaptations],
    isComplete: report.isComplete && failed.length === 0,
  };
}

/** Events of one database, named as such. */
function contextOf(context: OperationContext, databaseName: string): OperationContext {
  return {
    ...context,
    onEvent: (event: OperationEvent) => {
      if (event.type === "phase") context.onEvent({ ...event, message: `${databaseName}: ${event.message}` });
      else context.onEvent(event);
    },
  };
}
