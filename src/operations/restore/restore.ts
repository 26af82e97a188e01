// `cairn restore`: a restore point or an archive file, or a part of it, into a database: the target itself, or a new
// scratch database on its server. Done means that every statement succeeded and the rows loaded are the manifest's.

import { OperatingError } from "../../base/errors.ts";
import { meetingSameServer, openSession, resolveConnection, type ConnectionSettings } from "../../postgres/index.ts";
import {
  checkTarget,
  identifyRestore,
  planRestore,
  planScratch,
  runRestore as runPlan,
  runScratch,
  type ConnectTarget,
  type RestoreResult,
} from "../../restore/index.ts";
import { beginPhase, warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";
import { openOrigin, type RestoreOrigin } from "./open-origin.ts";
import { RestoreReporter } from "./restore-reporter.ts";
import type { RestoreReport, RestoreSettings } from "./types.ts";

interface Outcome {
  readonly result: RestoreResult;
  readonly database: string;
  readonly leftOut: readonly string[];
  readonly takenOverCount?: number;
}

/** What is to be restored, where to, and how. */
export interface OpenedRestore {
  readonly settings: Pick<RestoreSettings, "options" | "mode" | "allowsNonEmptyTarget">;
  readonly target: ConnectionSettings;
  readonly origin: RestoreOrigin;
}

interface Restoring extends OpenedRestore {
  readonly connect: ConnectTarget;
}

/** Restores. Failed entries are in the report; thrown is what ended the restore as a whole. */
export async function runRestore(context: OperationContext, settings: RestoreSettings): Promise<RestoreReport> {
  const subject = settings.file === undefined ? "restore point" : "archive";
  beginPhase(context, "open", `opening the ${subject} and connecting to the target`);
  const { environment, homeDirectory, userName } = context;
  const target = await resolveConnection({ source: settings.target, environment, homeDirectory, userName });
  await using origin = await openOrigin(context, settings);
  return await restoreOpened(context, { settings, target, origin });
}

/** The same with all that it needs open and settled. */
export async function restoreOpened(context: OperationContext, opened: OpenedRestore): Promise<RestoreReport> {
  const startedAtMs = performance.now();
  const { settings, target, origin } = opened;
  const restoring: Restoring = { ...opened, connect: connector(target) };
  const reporter = new RestoreReporter(context);
  const { result, database, leftOut, takenOverCount } = await (settings.mode.kind === "scratch"
    ? restoreIntoScratch(context, restoring, reporter)
    : restoreInPlace(context, restoring, reporter));
  for (const message of result.warnings) warn(context, { message });
  await origin.checkUnchanged();
  const { bytesRead, requests: requestCount } = origin.transfer();
  return {
    restorePointId: origin.restorePointId,
    ...(origin.file === null ? {} : { file: origin.file }),
    database,
    isScratch: settings.mode.kind === "scratch",
    entriesDone: result.entriesDone,
    ...(takenOverCount === undefined ? {} : { entriesTakenOver: takenOverCount }),
    entriesFailed: result.entriesFailed.map(({ dumpId, description, namespace, tag, errors }) => {
      const error = errors
        .map(({ message, hint }) => (hint === undefined ? message : `${message} (${hint})`))
        .join("; ");
      return { dumpId, description, tag: namespace === null ? tag : `${namespace}.${tag}`, error };
    }),
    entriesLeftOut: leftOut,
    adaptations: result.adaptations.map(({ description, tag, change }) => `${description} ${tag}: ${change}`),
    tables: result.rowsByTable.map(({ namespace, table, rows }) => ({
      name: `${namespace ?? ""}.${table}`,
      rowCount: rows,
    })),
    rowCount: result.rowsByTable.reduce((sum, { rows }) => sum + rows, 0),
    rawBytes: result.rowsByTable.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    largeObjectCount: result.largeObjectCount,
    durationMs: Math.round(performance.now() - startedAtMs),
    bytesRead,
    requestCount,
    isComplete: result.isComplete,
  };
}

/** Every connection goes to the server that the first one met: several may be named, and a name has several addresses. */
function connector(target: ConnectionSettings): ConnectTarget {
  let settled = target;
  return async (database, signal) => {
    const settings = { ...settled, database: database ?? target.database };
    const session = await openSession(settings, { signal, applicationName: "cairn restore" });
    settled = meetingSameServer(target, session.settings);
    return session;
  };
}

async function restoreInPlace(
  context: OperationContext,
  restoring: Restoring,
  reporter: RestoreReporter,
): Promise<Outcome> {
  const { settings, target, connect } = restoring;
  const { contents, sizes, areSizesExact } = restoring.origin;
  await using session = await connect(null, context.signal);
  const planTarget = { version: session.serverVersion.number, sizes };
  const plan = planRestore(contents.toc, settings.options, planTarget);
  const { findings } = await checkTarget(session, plan, {
    allowsNonEmpty: settings.allowsNonEmptyTarget,
    sourceVersion: contents.toc.header.serverVersion,
  });
  for (const { message, hint } of findings) warn(context, { message, hint });
  await session.close();
  reporter.expect(plan, areSizesExact);
  const result = await runPlan(contents, plan, {
    connect,
    signal: context.signal,
    onEvent: (event) => reporter.report(event),
  });
  const database = settings.options.create === true ? contents.toc.header.databaseName : target.database;
  return { result, database, leftOut: [] };
}

async function restoreIntoScratch(
  context: OperationContext,
  restoring: Restoring,
  reporter: RestoreReporter,
): Promise<Outcome> {
  const { settings, origin, connect } = restoring;
  const { contents, sizes } = origin;
  const { tables, schemas, jobs } = settings.options;
  if ((tables ?? []).length === 0 && (schemas ?? []).length === 0) {
    throw new OperatingError("usage", "a scratch database needs at least one table or schema", {
      hint: "Name them with -t or -n; a whole restore point goes into a database of its own with --to.",
    });
  }
  await using session = await connect(null, context.signal);
  const version = session.serverVersion.number;
  await session.close();
  const databaseName = scratchName(settings, origin);
  const scratch = planScratch(
    contents.toc,
    {
      databaseName,
      ...(tables === undefined ? {} : { tables }),
      ...(schemas === undefined ? {} : { schemas }),
      ...(jobs === undefined ? {} : { jobs }),
    },
    { version, sizes },
  );
  reporter.expect(scratch.plan, origin.areSizesExact);
  const outcome = await runScratch(contents, scratch, {
    identity: identifyRestore(scratch.plan, contents.toc, sizes, origin.restorePointId),
    resumes: settings.mode.kind === "scratch" && settings.mode.resumes === true,
    connect,
    signal: context.signal,
    onEvent: (event) => reporter.report(event),
    checkSource: () => origin.checkUnchanged(),
  });
  for (const message of outcome.warnings) warn(context, { message });
  const leftOut = outcome.leftOut.map(({ entry, reason }) => `${entry.description} ${entry.tag}: ${reason}`);
  return { result: outcome.restore, database: outcome.database, leftOut, takenOverCount: outcome.takenOverCount };
}

/** The name asked for, or one made of the first table or schema and the restore point's time or the file's name. */
function scratchName(settings: OpenedRestore["settings"], origin: RestoreOrigin): string {
  if (settings.mode.kind === "scratch" && settings.mode.name !== null) return settings.mode.name;
  const subject = settings.options.tables?.[0] ?? settings.options.schemas?.[0] ?? "";
  const word = subject
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]+/g, "_")
    .slice(0, 24);
  return `scratch_${word}_${origin.word}`;
}
