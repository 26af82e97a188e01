// `cairn backup --cluster`: every database of a server, each a restore point of its own in its own lineage, and one more
// restore point that names them and carries the server's roles and tablespaces. A database that fails does not stop the
// others; the cluster's restore point then says which one is missing.

import { isOperatingError, messageOf, OperatingError } from "../../base/errors.ts";
import { readGlobals, type Globals } from "../../globals/index.ts";
import { describeServer, openSession, valueIfAllowed, type ServerPlace, type Session } from "../../postgres/index.ts";
import type { ClusterMember, Lineage, Repository, RestorePointSummary, Run } from "../../repository/index.ts";
import { backUpDatabase } from "../backup/index.ts";
import { READING_DEFAULTS, type ReadingSettings } from "../backup/incremental/types.ts";
import { refuseSecondRun } from "../backup/refuse-second-run.ts";
import { beginPhase, warn } from "../events.ts";
import { globalsFacts, globalsJson, warnOfClearPasswords } from "../globals-facts.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext, OperationEvent } from "../operation.ts";
import { hostNameOf } from "../source/host-name.ts";
import { CAIRN_VERSION } from "../version.ts";
import { connectToServer, findDatabases, type FoundDatabases } from "./cluster-server.ts";
import type { ClusterBackupSettings, ClusterDatabase, ClusterReceipt } from "./types.ts";

interface ServerFacts {
  readonly host: string;
  /** Of the server that is named first, whichever was met. */
  readonly lineageHost: string;
  readonly place: ServerPlace;
  /** host:port. */
  readonly description: string;
  readonly version: string;
  readonly versionNum: number;
  readonly isStandby: boolean;
  readonly systemIdentifier: string;
}

/** Backs up a whole server. Throws when nothing of it could be backed up. */
export async function runClusterBackup(
  context: OperationContext,
  settings: ClusterBackupSettings,
): Promise<ClusterReceipt> {
  beginPhase(context, "connect", "opening the repository and connecting to the server");
  await using repository = await openRepositoryAt(settings.repository);
  return await backUpServer(context, repository, settings);
}

/** The same into a repository that is open; `settings.repository` does not matter then. */
export async function backUpServer(
  context: OperationContext,
  repository: Repository,
  settings: ClusterBackupSettings,
): Promise<ClusterReceipt> {
  const startedAt = new Date();
  await using session = await connectToServer(context, settings.source);
  const server = await readServerFacts(session);
  const found = await findDatabases(session, settings.excludedDatabases);
  if (found.names.length === 0) throw new OperatingError("usage", "no database of the server is to be backed up");
  const warnings = found.idlePatterns.map((pattern) => {
    return warn(context, { message: `--exclude-database "${pattern}" matches no database` });
  });
  const lineage = makeLineage(settings, server);
  const claim = { lineageName: lineage.name };
  warnings.push(...(await refuseSecondRun(context, repository, { ...claim, runId: null })));
  const { parent, warnings: lineageWarnings } = await repository.continueLineage(lineage, context.signal);
  warnings.push(...lineageWarnings.map((message) => warn(context, { message })));
  const before = await readAllGlobals(context, session, settings);
  await session.close(); // what follows may take hours
  await using run = await repository.startRun({ kind: "cluster backup", ...claim, parent, signal: context.signal });
  await refuseSecondRun(context, repository, { ...claim, runId: run.id });

  const databases = await backUpDatabases(context, { repository, settings, server, found });
  const globals = await readGlobalsAgain(context, { session, settings, before, warnings });
  warnings.push(...warnOfPasswords(context, globals, repository));
  beginPhase(context, "commit", "writing the cluster's manifest");
  const committing = { run, settings, server, lineage, found, databases, globals, startedAt, warnings };
  const summary = await commit(committing);
  return makeReceipt({ ...committing, summary, repository });
}

async function readServerFacts(session: Session): Promise<ServerFacts> {
  const { rows } = await session.query("SELECT pg_catalog.pg_is_in_recovery()");
  // Managed servers may not let it be read.
  const identity = await valueIfAllowed(session, "SELECT system_identifier FROM pg_catalog.pg_control_system()");
  const { serverVersion, settings, connection } = session;
  return {
    host: hostNameOf(settings),
    lineageHost: hostNameOf(settings.firstNamed),
    place: { host: settings.host, hostAddress: settings.hostAddress, port: settings.port },
    description: describeServer(settings),
    version: connection.parameters.get("server_version") ?? "",
    versionNum: serverVersion.number,
    isStandby: rows[0]?.[0] === "t",
    systemIdentifier: identity ?? "unknown",
  };
}

function makeLineage(settings: ClusterBackupSettings, { lineageHost, systemIdentifier }: ServerFacts): Lineage {
  const name = settings.lineage ?? `cluster:${lineageHost}`;
  return { name, systemIdentifier, databaseOid: 0, databaseName: "*" };
}

async function readAllGlobals(
  context: OperationContext,
  session: Session,
  { withRolePasswords }: ClusterBackupSettings,
): Promise<Globals> {
  beginPhase(context, "globals", "reading roles and tablespaces");
  return await readGlobals(session, { signal: context.signal, withPasswords: withRolePasswords });
}

interface Backing {
  readonly repository: Repository;
  readonly settings: ClusterBackupSettings;
  readonly server: ServerFacts;
  readonly found: FoundDatabases;
}

async function backUpDatabases(context: OperationContext, backing: Backing): Promise<readonly ClusterDatabase[]> {
  const { repository, settings, server, found } = backing;
  const databases: ClusterDatabase[] = [];
  for (const databaseName of found.names) {
    context.signal.throwIfAborted();
    const lineage = lineageNameOf(databaseName, settings.lineage ?? server.lineageHost);
    const globals = settings.withRolePasswords ? "with passwords" : "without passwords";
    const reading = readingOf(settings);
    const own = { ...settings, reading, database: databaseName, server: server.place, lineage, globals } as const;
    try {
      const receipt = await backUpDatabase(contextOf(context, databaseName), repository, own);
      databases.push({ databaseName, receipt, error: null });
    } catch (error) {
      context.signal.throwIfAborted();
      databases.push({ databaseName, receipt: null, error: describeError(error) });
      const hint = isOperatingError(error) ? error.hint : undefined;
      warn(context, { message: `could not back up database "${databaseName}": ${messageOf(error)}`, hint });
    }
  }
  refuseNothing(databases);
  return databases;
}

/** Each waits for a checkpoint of its own, one after another: unasked, those do for which it pays. */
function readingOf({ reading = READING_DEFAULTS }: ClusterBackupSettings): ReadingSettings {
  return { ...reading, checkpoint: reading.checkpoint ?? "where much is read" };
}

/** As a single backup names it; a name's control characters are written out. */
function lineageNameOf(databaseName: string, suffix: string): string {
  const escaped = databaseName.replaceAll(/\p{Cc}/gu, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return `${escaped}@${suffix}`;
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

function describeError(error: unknown): NonNullable<ClusterDatabase["error"]> {
  if (!isOperatingError(error)) return { code: "internal", message: messageOf(error), hint: null };
  return { code: error.code, message: error.message, hint: error.hint ?? null };
}

function refuseNothing(databases: readonly ClusterDatabase[]): void {
  if (databases.some(({ receipt }) => receipt !== null)) return;
  const lines = databases.map(({ databaseName, error }) => `${databaseName}: ${error?.message ?? ""}`);
  throw new OperatingError("preflight_failed", `none of the ${databases.length} databases could be backed up`, {
    detail: lines.join("\n"),
  });
}

interface GlobalsAgain {
  readonly session: Session;
  readonly settings: ClusterBackupSettings;
  readonly before: Globals;
  readonly warnings: string[];
}

/** The roles at the end are those that the newest database needs; who changed meanwhile is told. */
async function readGlobalsAgain(context: OperationContext, again: GlobalsAgain): Promise<Globals> {
  const { session, settings, before, warnings } = again;
  // Hours may have passed, and somebody in between may have ended an idle session.
  await using fresh = await openSession(session.settings, { signal: context.signal, applicationName: "cairn" });
  const after = await readAllGlobals(context, fresh, settings);
  if (JSON.stringify(after) === JSON.stringify(before)) return after;
  const message = "roles or tablespaces were changed while the databases were read; those of the end are kept";
  warnings.push(warn(context, { message }));
  return after;
}

function warnOfPasswords(context: OperationContext, globals: Globals, repository: Repository): readonly string[] {
  if (globals.passwords !== "not readable") return warnOfClearPasswords(context, globals, repository);
  const message = "the passwords of roles may not be read: a rebuilt server will have its roles without passwords";
  return [
    warn(context, { message, hint: "Reading pg_authid needs a superuser; managed services allow it to nobody." }),
  ];
}

interface Committing {
  readonly run: Run;
  readonly settings: ClusterBackupSettings;
  readonly server: ServerFacts;
  readonly lineage: Lineage;
  readonly found: FoundDatabases;
  readonly databases: readonly ClusterDatabase[];
  readonly globals: Globals;
  readonly startedAt: Date;
  readonly warnings: readonly string[];
}

async function commit(committing: Committing): Promise<RestorePointSummary> {
  const { run, settings, server, lineage, found, databases, globals, startedAt, warnings } = committing;
  const receipts = databases.flatMap(({ receipt }) => receipt ?? []);
  const first = receipts.toSorted((one, other) => (one.snapshotTakenAt < other.snapshotTakenAt ? -1 : 1))[0];
  return await run.commit({
    lineage,
    startedAt: startedAt.toISOString(),
    snapshotAt: first?.snapshotTakenAt ?? startedAt.toISOString(),
    source: {
      serverVersion: server.version,
      serverVersionNum: server.versionNum,
      hostRole: server.isStandby ? "standby" : "primary",
      host: server.host,
    },
    snapshot: { xmin: null, xmax: null, lsn: null, timeline: null },
    tool: {
      cairnVersion: CAIRN_VERSION,
      pgDumpVersion: first?.pgDump.version ?? "",
      pgDumpPath: first?.pgDump.path ?? null,
    },
    options: { excludedDatabases: settings.excludedDatabases },
    tags: settings.tags,
    textEncoding: globals.textEncoding,
    warnings,
    cluster: { members: databases.map(memberOf), leftOut: found.leftOut },
    relations: [],
    largeObjects: [],
    globals: globalsJson(globals),
    toc: new Uint8Array(),
  });
}

function memberOf({ databaseName, receipt, error }: ClusterDatabase): ClusterMember {
  return {
    databaseName,
    lineageName: receipt?.lineage ?? null,
    restorePointId: receipt?.id ?? null,
    error: error?.message ?? null,
    rowCount: receipt?.rowCount ?? 0,
    rawBytes: receipt?.rawBytes ?? 0,
    sealedBytes: receipt?.sealedBytes ?? 0,
    newBytes: receipt?.newBytes ?? 0,
  };
}

interface Finished extends Committing {
  readonly summary: RestorePointSummary;
  readonly repository: Repository;
}

function makeReceipt(finished: Finished): ClusterReceipt {
  const { summary, repository, server, databases, found, globals, startedAt, warnings } = finished;
  const members = summary.cluster?.members ?? [];
  const sum = (valueOf: (member: ClusterMember) => number): number => {
    return members.reduce((total, member) => total + valueOf(member), 0);
  };
  return {
    id: summary.id,
    lineage: summary.lineage.name,
    parentId: summary.parentId,
    repository: repository.description,
    server: server.description,
    serverVersion: server.version,
    startedAt: summary.startedAt,
    finishedAt: summary.finishedAt,
    durationMs: new Date(summary.finishedAt).getTime() - startedAt.getTime(),
    globals: globalsFacts(globals),
    databases,
    leftOut: found.leftOut,
    rowCount: sum(({ rowCount }) => rowCount),
    rawBytes: sum(({ rawBytes }) => rawBytes),
    newBytes: sum(({ newBytes }) => newBytes),
    warnings,
    isComplete: databases.every(({ receipt }) => receipt !== null),
  };
}
