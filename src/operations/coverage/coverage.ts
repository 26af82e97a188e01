// `cairn coverage`: what exists on a server and is in no backup: databases, tables, sequences, large objects. It holds what
// is there now against the newest restore point of each lineage of that very database. Changes nothing.

import { isOperatingError, messageOf } from "../../base/errors.ts";
import { describeServer, openSession, type Session } from "../../postgres/index.ts";
import type { LineageFacts, Repository, RestorePoint } from "../../repository/index.ts";
import { connectToServer, findDatabases } from "../backup-cluster/cluster-server.ts";
import { beginPhase, warn } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import { useOwnEncoding } from "../source/own-encoding.ts";
import { Covered } from "./covered.ts";
import { countLargeObjects, readRelations } from "./present.ts";
import type { CoverageReport, CoverageSettings, DatabaseCoverage, Uncovered } from "./types.ts";

/** Looks at every database that can be connected to. */
export async function runCoverage(context: OperationContext, settings: CoverageSettings): Promise<CoverageReport> {
  const { signal } = context;
  beginPhase(context, "connect", "opening the repository and connecting to the server");
  await using repository = await openRepositoryAt(settings.repository);
  await using session = await connectToServer(context, settings.source);
  const found = await findDatabases(session, settings.excludedDatabases);
  const facts = await readFacts(session);
  const lineages = await repository.lineages({
    signal,
    onDamage: (name, error) => warn(context, { message: `manifest ${name} cannot be read: ${error.message}` }),
  });
  const databases: DatabaseCoverage[] = [];
  for (const name of found.names) {
    beginPhase(context, "look", `looking at database "${name}"`);
    const own = lineages.filter((lineage) => isOf(lineage, facts, name));
    databases.push(await lookAt(context, { repository, session, lineages: own, facts }, name));
  }
  return {
    server: describeServer(session.settings),
    serverVersion: session.connection.parameters.get("server_version") ?? "",
    repository: repository.description,
    databases,
    leftOut: found.leftOut,
    isComplete: databases.every(({ state }) => state === "whole" || state === "empty"),
  };
}

interface ServerFacts {
  /** Null where it may not be read. */
  readonly systemIdentifier: string | null;
  readonly databases: ReadonlyMap<string, { readonly oid: number; readonly sizeBytes: number | null }>;
}

async function readFacts(session: Session): Promise<ServerFacts> {
  const identity = await session
    .query("SELECT system_identifier FROM pg_catalog.pg_control_system()")
    .catch((error: unknown) => refusedOnly(error));
  const { rows } = await session.query(
    `SELECT datname, oid, CASE WHEN pg_catalog.has_database_privilege(oid, 'CONNECT') THEN pg_catalog.pg_database_size(oid) END
       FROM pg_catalog.pg_database`,
  );
  const databases = rows.map(([name, oid, size]) => {
    return [
      name ?? "",
      { oid: Number(oid), sizeBytes: size === null || size === undefined ? null : Number(size) },
    ] as const;
  });
  return { systemIdentifier: identity?.value ?? null, databases: new Map(databases) };
}

/** Managed servers may not let it be read. */
function refusedOnly(error: unknown): null {
  if (isOperatingError(error, "insufficient_privilege") || isOperatingError(error, "query_failed")) return null;
  throw error;
}

/** True for a lineage of that database of that server; without the server's identity, by the database's name and OID. */
function isOf(lineage: LineageFacts, { systemIdentifier, databases }: ServerFacts, name: string): boolean {
  if (lineage.databaseOid !== databases.get(name)?.oid) return false;
  if (systemIdentifier !== null && lineage.systemIdentifier !== "unknown") {
    return lineage.systemIdentifier === systemIdentifier;
  }
  return lineage.databaseName === name;
}

interface Looking {
  readonly repository: Repository;
  readonly session: Session;
  readonly lineages: readonly LineageFacts[];
  readonly facts: ServerFacts;
}

async function lookAt(context: OperationContext, looking: Looking, name: string): Promise<DatabaseCoverage> {
  const { repository, lineages, facts, session } = looking;
  const { signal } = context;
  const points: { readonly point: RestorePoint; readonly label: string }[] = [];
  for (const { newestId, label } of lineages) {
    points.push({ point: await repository.openRestorePoint(newestId, signal), label });
  }
  const common = {
    name,
    sizeBytes: facts.databases.get(name)?.sizeBytes ?? null,
    restorePoints: points.map(({ point, label }) => {
      return { id: point.id, lineage: label, snapshotTakenAt: point.manifest.snapshotAt };
    }),
  };
  const covered = new Covered();
  for (const { point } of points) await covered.add(point, signal);
  try {
    const settings = { ...session.settings, database: name };
    await using inside = await openSession(settings, { signal, applicationName: "cairn coverage" });
    await useOwnEncoding(inside);
    const { tableCount, uncovered, isEmpty } = await compare(inside, covered, signal);
    const state = points.length === 0 ? (isEmpty ? "empty" : "none") : uncovered.length === 0 ? "whole" : "part";
    return { ...common, state, tableCount, uncovered: state === "none" ? [] : uncovered, problem: null };
  } catch (error) {
    signal.throwIfAborted();
    if (!isOperatingError(error)) throw error;
    return { ...common, state: "unknown", tableCount: 0, uncovered: [], problem: messageOf(error) };
  }
}

async function compare(
  session: Session,
  covered: Covered,
  signal: AbortSignal,
): Promise<{ readonly tableCount: number; readonly uncovered: readonly Uncovered[]; readonly isEmpty: boolean }> {
  const relations = await readRelations(session, signal);
  const uncovered = relations.flatMap((relation): Uncovered[] => {
    const reason = covered.reasonOf(relation);
    const { kind, sizeBytes } = relation;
    return reason === null ? [] : [{ kind, name: `${relation.namespace}.${relation.name}`, reason, sizeBytes }];
  });
  const objects = await countLargeObjects(session, (oid) => covered.hasLargeObject(oid), signal);
  if (objects.uncoveredCount > 0) {
    const reason = `${objects.uncoveredCount} of ${objects.count} are in no restore point: new since, or left out`;
    uncovered.push({ kind: "large objects", name: "large objects", reason, sizeBytes: null });
  }
  return {
    tableCount: relations.filter(({ kind }) => kind === "table").length,
    uncovered,
    isEmpty: relations.length === 0 && objects.count === 0,
  };
}
