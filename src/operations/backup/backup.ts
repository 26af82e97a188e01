// `cairn backup`: one restore point of one database. It exists only when its manifest was written, last of all, after
// every object that it refers to was confirmed by the storage; then it is read back.

import { assert } from "../../base/assert.ts";
import { OperatingError } from "../../base/errors.ts";
import {
  biggestFirst,
  defaultJobs,
  readDump,
  toArguments,
  type ChunkCompression,
  type Dump,
  type ReadDumpOptions,
} from "../../dump/index.ts";
import { formatVersion } from "../../postgres/index.ts";
import {
  chunkIdPrefix,
  type CommitInput,
  type LargeObjectSet,
  type Lineage,
  type Repository,
  type RestorePointSummary,
  type Run,
} from "../../repository/index.ts";
import { beginPhase, warn } from "../events.ts";
import { openRepositoryAt, opensByItself } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import { ProgressReporter } from "../progress-reporter.ts";
import { defaultLineageOf, hostNameOf } from "../source/host-name.ts";
import { warnOfAlteredSchemas } from "../source/warn-of-names.ts";
import type { SettledSource } from "../source/settle-source.ts";
import { givingUp, takenOverFacts, warnOfRefusedPacks, type TakenOverFacts } from "../take-over.ts";
import { CAIRN_VERSION } from "../version.ts";
import { globalsFacts, globalsJson } from "../globals-facts.ts";
import { readCarriedGlobals, type CarriedGlobals } from "./carried-globals.ts";
import { Approach } from "./approach.ts";
import { beginView, IncrementalReading, READING_DEFAULTS, type ReadingOutcome } from "./incremental/index.ts";
import type { DeltaChoice, DeltaCounts } from "./delta-bases.ts";
import { warnOfParent } from "./warn-of-parent.ts";
import { foreseeParent, makeLineage } from "./foresee-parent.ts";
import { refuseSecondRun } from "./refuse-second-run.ts";
import { RepositorySink } from "./repository-sink.ts";
import { watchDrops } from "./watch-drops.ts";
import type { DropFinding } from "./drops.ts";
import type { BackupReceipt, BackupSettings } from "./types.ts";

const CHUNK_SIZE_BYTES = 2 * 1024 * 1024;
const LINEAGE_NAME_LENGTH_MAX = 200;

/** Backs up one database. Whatever fails, earlier restore points stay as they are and nothing half done is shown. */
export async function runBackup(context: OperationContext, settings: BackupSettings): Promise<BackupReceipt> {
  parseCompression(settings.compression);
  beginPhase(context, "connect", "opening the repository and connecting to the source");
  await using approach = opensByItself(settings.repository) ? Approach.begin(context, settings) : null;
  await using repository = await openRepositoryAt(settings.repository);
  return await backUpDatabase(context, repository, settings, approach);
}

/** The same into a repository that is open; `settings.repository` does not matter then. `begun`: what was begun meanwhile. */
export async function backUpDatabase(
  context: OperationContext,
  repository: Repository,
  settings: BackupSettings,
  begun: Approach | null = null,
): Promise<BackupReceipt> {
  const compression = parseCompression(settings.compression);
  await using approach = begun ?? Approach.begin(context, settings);
  const { startedAt } = approach;
  const source = await approach.source;
  const lineageName = nameLineage(settings, source);
  const runWarnings = await refuseSecondRun(context, repository, { lineageName, runId: null });

  await using _foreseeing = foreseeParent(context, repository, { source, lineageName, life: approach.life });
  const [life, dump] = await Promise.all([approach.life, approach.dump]);
  const view = beginView(context, source, { dump, life }); // the server is asked while the repository tells of the parent
  const carried = await readCarriedGlobals(context, { source, dump, repository, choice: settings.globals });
  const lineage = makeLineage(lineageName, source, dump.snapshot);
  const { parent, warnings: lineageWarnings } = await repository.continueLineage(lineage, context.signal);
  for (const message of lineageWarnings) warn(context, { message });
  dump.cutLike(({ oid, namespace, name }) => {
    const former = parent?.findRelation({ oid }) ?? parent?.findRelation({ namespace, name });
    return former?.segmentBlocks ?? null;
  });
  await using run = await repository.startRun({
    kind: "backup",
    lineageName: lineage.name,
    parent,
    takesOver: true,
    signal: context.signal,
  });
  await using _ = givingUp(context, run);
  await refuseSecondRun(context, repository, { lineageName, runId: run.id });

  const warnings = [
    ...source.warnings,
    ...runWarnings,
    ...lineageWarnings,
    ...carried.warnings,
    ...(dump.pgDumpMessages === "" ? [] : [dump.pgDumpMessages]),
  ];
  await using reading = await IncrementalReading.plan(context, {
    source,
    dump,
    life,
    view,
    parent,
    settings: settings.reading ?? READING_DEFAULTS,
  });
  const jobs = settings.jobs ?? defaultJobs();
  const { deltas = "auto" } = settings;
  const sink = await store(context, { repository, dump, run, compression, deltas, jobs, reading });
  const largeObjects = await finishSink(dump, sink);
  dump.holderLost.throwIfAborted();
  await dump[Symbol.asyncDispose](); // nothing more is read: the server need not keep its snapshot
  const outcome = await reading.finish(sink);
  warnings.push(...outcome.warnings, ...warnOfAlteredSchemas(context, dump));
  beginPhase(context, "commit", "confirming what was stored and writing the manifest");
  const facts = { settings, source, dump, outcome, largeObjects, lineage, compression, startedAt, warnings, carried };
  const input = commitInput(facts);
  const findings = await watchDrops(context, { repository, parent, input, limits: settings.dropLimits });
  warnings.push(...findings.map(({ message }) => message), ...warnOfRefusedPacks(context, run));
  warnings.push(...warnOfParent(context, run, sink.deltaFailure));
  const summary = await run.commit({ ...input, warnings });
  const takenOver = takenOverFacts(run);
  return makeReceipt({ ...facts, summary, repository, findings, takenOver, deltas: sink.deltas });
}

interface Storing {
  readonly repository: Repository;
  readonly dump: Dump;
  readonly run: Run;
  readonly compression: ChunkCompression;
  readonly deltas: DeltaChoice;
  readonly jobs: number;
  readonly reading: IncrementalReading;
}

/** Reads what is to be read; tables that were taken over in part and changed meanwhile are then read whole. */
async function store(context: OperationContext, storing: Storing): Promise<RepositorySink> {
  const { repository, dump, run, compression, deltas, jobs, reading } = storing;
  const writing = { encoding: compression.algorithm, choice: deltas, signal: context.signal };
  const sink = new RepositorySink(run, writing, reading.choose, reading.chooseLargeObjects);
  const text = `reading ${dump.tables.length} tables with ${jobs} readers; ${reading.description}`;
  beginPhase(context, "read", text);
  const progress = new ProgressReporter(context, dump, () => sink);
  const options: ReadDumpOptions = {
    jobs,
    signal: context.signal,
    sink,
    chunks: {
      hashing: {
        secret: repository.chunkIdSecret,
        tablePrefix: chunkIdPrefix("table"),
        largeObjectsPrefix: chunkIdPrefix("large-objects"),
      },
      chunkSizeBytes: CHUNK_SIZE_BYTES,
      compression,
      sharesLargeObjectChunks: true,
    },
  };
  await readDump(dump, {
    ...options,
    tables: biggestFirst(dump.tables),
    onTakenOver: (table) => progress.segmentTakenOver(table),
    onLargeObjectsTakenOver: () => progress.largeObjectsTakenOver(),
    onTaskStarted: (task, reader) => progress.taskStarted(task, reader),
    onTaskDone: (task, reader) => progress.taskDone(task, reader),
    onRead: () => reading.lookAgain(),
  });
  const tables = await reading.settle(sink);
  if (tables.length === 0) return sink;
  beginPhase(context, "read", reading.describeAgain(tables.length));
  await readDump(dump, { ...options, tables, readsLargeObjects: false });
  return sink;
}

/** The sets of large objects, when all is read. */
async function finishSink(dump: Dump, sink: RepositorySink): Promise<readonly LargeObjectSet[]> {
  const blobEntries = dump.toc.entries.filter((entry) => entry.description === "BLOBS" && entry.hadDumper);
  const largeObjects = await sink.finish(blobEntries.map(({ dumpId }) => dumpId));
  checkWhole(dump, sink, largeObjects);
  return largeObjects;
}

interface CommitFacts {
  readonly settings: BackupSettings;
  readonly source: SettledSource;
  readonly dump: Dump;
  readonly outcome: ReadingOutcome;
  readonly largeObjects: readonly LargeObjectSet[];
  readonly lineage: Lineage;
  readonly compression: ChunkCompression;
  readonly startedAt: Date;
  readonly warnings: readonly string[];
  readonly carried: CarriedGlobals;
}

function commitInput(facts: CommitFacts): CommitInput {
  const { settings, source, dump, outcome, largeObjects } = facts;
  const { snapshot } = dump;
  return {
    lineage: facts.lineage,
    startedAt: facts.startedAt.toISOString(),
    snapshotAt: snapshot.takenAt,
    source: {
      serverVersion: source.serverVersionText,
      serverVersionNum: source.server.number,
      hostRole: snapshot.isStandby ? "standby" : "primary",
      host: hostNameOf(source.settings),
    },
    snapshot: { xmin: `${snapshot.xmin}`, xmax: `${snapshot.xmax}`, lsn: snapshot.lsn, timeline: outcome.timeline },
    tool: {
      cairnVersion: CAIRN_VERSION,
      pgDumpVersion: formatVersion(source.pgDump.version),
      pgDumpPath: source.pgDump.kind === "installed" ? source.pgDump.path : null,
    },
    options: {
      selection: toArguments(source.flags),
      compression: `${facts.compression.algorithm}:${facts.compression.level}`,
    },
    tags: settings.tags,
    textEncoding: dump.toc.textEncoding,
    warnings: facts.warnings,
    relations: outcome.relations.toSorted((a, b) => a.dumpId - b.dumpId),
    largeObjects,
    incremental: outcome.incremental,
    toc: dump.headAndToc,
    ...(facts.carried.globals === null ? {} : { globals: globalsJson(facts.carried.globals) }),
  };
}

/** Nothing that the table of contents promises may be missing, whatever went wrong on the way. */
function checkWhole(dump: Dump, sink: RepositorySink, largeObjects: readonly LargeObjectSet[]): void {
  const promised = dump.largeObjectBuckets.reduce((sum, { oids }) => sum + oids.length, 0);
  const stored = largeObjects.reduce((sum, { objectCount }) => sum + objectCount, 0);
  assert(stored === promised, `${stored} large objects were stored, the table of contents has ${promised}`);
  const dumpIds = new Set(sink.relations.map(({ dumpId }) => dumpId));
  const isWhole = dumpIds.size === sink.relations.length && dump.tables.every(({ dumpId }) => dumpIds.has(dumpId));
  assert(isWhole, `${sink.relations.length} tables were stored, the table of contents has ${dump.tables.length}`);
}

function nameLineage(settings: BackupSettings, source: SettledSource): string {
  const name = settings.lineage ?? defaultLineageOf(source.settings);
  if (name === "" || name.length > LINEAGE_NAME_LENGTH_MAX || /\p{Cc}/u.test(name)) {
    throw new OperatingError("usage", "a lineage's name has 1 to 200 characters, none of them a control character", {
      hint: "Give it a name with --lineage.",
    });
  }
  return name;
}

function parseCompression(text: string | null): ChunkCompression {
  const match = /^(?:(none)|zstd(?::(\d{1,2}))?)$/.exec(text ?? "zstd:3");
  const level = Number(match?.[2] ?? 3);
  if (match === null || level < 1 || level > 19) {
    throw new OperatingError("usage", `compression "${text}" is not known`, {
      hint: "It is none, zstd, or zstd:1 to zstd:19.",
    });
  }
  return match[1] === "none" ? { algorithm: "none", level: 0 } : { algorithm: "zstd", level };
}

interface ReceiptFacts extends CommitFacts {
  readonly summary: RestorePointSummary;
  readonly repository: Repository;
  readonly findings: readonly DropFinding[];
  readonly takenOver: TakenOverFacts | null;
  readonly deltas: DeltaCounts;
}

function makeReceipt(facts: ReceiptFacts): BackupReceipt {
  const { summary, source, dump, repository, startedAt, warnings, carried, findings, takenOver, outcome } = facts;
  const { totals } = summary;
  return {
    id: summary.id,
    lineage: summary.lineage.name,
    parentId: summary.parentId,
    repository: repository.description,
    source: source.description,
    databaseName: source.settings.database,
    serverVersion: source.serverVersionText,
    pgDump: { version: summary.tool.pgDumpVersion, path: summary.tool.pgDumpPath },
    startedAt: summary.startedAt,
    finishedAt: summary.finishedAt,
    snapshotTakenAt: summary.snapshotAt,
    durationMs: new Date(summary.finishedAt).getTime() - startedAt.getTime(),
    entryCount: dump.toc.entries.length,
    tableCount: totals.relations,
    rowCount: totals.rows,
    largeObjectCount: totals.largeObjects,
    rawBytes: totals.rawBytes,
    sealedBytes: totals.sealedBytes,
    newBytes: totals.newBytes,
    reusedBytes: totals.reusedBytes,
    takenOver,
    deltas: facts.deltas,
    reading: outcome.facts,
    globals: carried.globals === null ? null : globalsFacts(carried.globals),
    findings,
    warnings,
  };
}
