// `cairn import`: an archive that pg_dump wrote becomes a restore point: its table of contents as it is, its data in
// chunks like those of a backup. Plain SQL is taken along as it is and quarantined: nothing here ever executes it.

import { basename } from "node:path";

import { convertToc, encodeHeadAndToc, type ArchiveTime, type Toc } from "../../archive/index.ts";
import { assert } from "../../base/assert.ts";
import { OperatingError } from "../../base/errors.ts";
import type { CommitInput, Lineage, Repository, RestorePointSummary, Run } from "../../repository/index.ts";
import { openArchiveSource, type ArchiveSource, type PlainSource } from "../archive-source/index.ts";
import { refuseSecondRun } from "../backup/refuse-second-run.ts";
import { beginPhase, warn } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import { givingUp, warnOfRefusedPacks } from "../take-over.ts";
import { CAIRN_VERSION } from "../version.ts";
import { importLargeObjects, importRows, rowsOfEntry, type DataImport } from "./import-data.ts";
import { plainTextOf, plainToc } from "./plain-script.ts";
import { ImportReporter } from "./import-reporter.ts";
import type { ImportReceipt, ImportSettings } from "./types.ts";

const LINEAGE_NAME_LENGTH_MAX = 200;
const YEAR_MIN = 1996;

/** Versions below it are stored with the head of this one, which has the same fields and one more. */
const STORED_VERSION_MIN = "1.14";

/** Takes an archive into a repository. Whatever fails, no restore point is made. */
export async function runImport(context: OperationContext, settings: ImportSettings): Promise<ImportReceipt> {
  const startedAt = new Date();
  beginPhase(context, "open", "opening the archive and the repository");
  await using source = await openArchiveSource(settings.file, context.signal);
  await using repository = await openRepositoryAt(settings.repository);
  const toc = source.format === "plain" ? plainToc(source.path) : source.contents.toc;
  const lineage = lineageOf(toc, settings);
  const facts: ImportFacts = { settings, source, repository, toc, lineage, startedAt };
  const warnings = [...(await refuseSecondRun(context, repository, { lineageName: lineage.name, runId: null }))];
  const { parent, warnings: lineageWarnings } = await repository.continueLineage(lineage, context.signal);
  warnings.push(...lineageWarnings.map((message) => warn(context, { message })));
  const told = source.format === "plain" ? source.modifiedAt : localTime(toc.header.createdAt);
  const { createdAt, warning } = creationTime(told, startedAt, parent?.manifest.snapshotAt ?? null);
  if (warning !== null) warnings.push(warn(context, { message: warning }));
  await using run = await repository.startRun({
    kind: "import",
    lineageName: lineage.name,
    parent,
    takesOver: true,
    signal: context.signal,
  });
  await using _ = givingUp(context, run);
  await refuseSecondRun(context, repository, { lineageName: lineage.name, runId: run.id });
  const data = await importData(context, facts, run);
  warnings.push(...data.warnings.map((message) => warn(context, { message })));
  warnings.push(...warnOfRefusedPacks(context, run));
  await source.checkUnchanged();
  beginPhase(context, "commit", "confirming what was stored and writing the manifest");
  const summary = await run.commit(commitInput(facts, { data, createdAt, warnings }));
  return receiptOf(facts, summary);
}

interface ImportFacts {
  readonly settings: ImportSettings;
  readonly source: ArchiveSource | PlainSource;
  readonly repository: Repository;
  readonly toc: Toc;
  readonly lineage: Lineage;
  readonly startedAt: Date;
}

type ImportedData = Pick<CommitInput, "relations" | "largeObjects"> & { readonly warnings: readonly string[] };

async function importData(context: OperationContext, facts: ImportFacts, run: Run): Promise<ImportedData> {
  const { source, toc, repository } = facts;
  const reporter = new ImportReporter(context, toc.entries.filter(({ hadDumper }) => hadDumper).length);
  const { signal } = context;
  const into: DataImport = {
    run,
    secret: repository.chunkIdSecret,
    signal,
    onProgress: (added) => reporter.add(added),
  };
  beginPhase(context, "read", `reading ${source.path}`);
  if (source.format === "plain") {
    return { relations: [await importRows(plainTextOf(source, signal), into)], largeObjects: [], warnings: [] };
  }
  const { contents } = source;
  const relations = [];
  const blobs = toc.entries.filter((entry) => entry.hadDumper && entry.description === "BLOBS");
  let commandTables = 0;
  for (const entry of toc.entries) {
    if (!entry.hadDumper || entry.description === "BLOBS") continue;
    if (entry.copyStatement === "") commandTables += 1;
    relations.push(await importRows(rowsOfEntry(contents, entry, signal), into));
    reporter.tableDone();
  }
  const largeObjects = await importLargeObjects(contents, blobs, into);
  assert(largeObjects.length === blobs.length, "every group of large objects was read");
  const warning = `${commandTables} tables hold INSERT commands, not rows of COPY: lines are counted for rows`;
  return { relations, largeObjects, warnings: commandTables > 0 ? [warning] : [] };
}

function lineageOf({ header }: Toc, settings: ImportSettings): Lineage {
  const name = settings.lineage ?? `${header.databaseName}@import`;
  if (name === "" || name.length > LINEAGE_NAME_LENGTH_MAX || /\p{Cc}/u.test(name)) {
    throw new OperatingError("usage", "a lineage's name has 1 to 200 characters, none of them a control character", {
      hint: "Give it a name with --lineage.",
    });
  }
  return { name, systemIdentifier: "import", databaseOid: 0, databaseName: header.databaseName };
}

/** The archive's own time, taken for local time as pg_restore does. */
function localTime({ yearsSince1900, month, monthDay, hour, minute, second }: ArchiveTime): Date {
  return new Date(yearsSince1900 + 1900, month, monthDay, hour, minute, second);
}

/** What is told unless it cannot be: it is later than now, or before there was PostgreSQL. */
function creationTime(
  told: Date,
  now: Date,
  parentTime: string | null,
): { readonly createdAt: Date; readonly warning: string | null } {
  const isPossible = told.getTime() <= now.getTime() && told.getFullYear() >= YEAR_MIN;
  const createdAt = isPossible ? told : now;
  const isOlder = parentTime !== null && new Date(parentTime) > createdAt;
  if (!isOlder) return { createdAt, warning: null };
  return {
    createdAt,
    warning: `the archive is of ${createdAt.toISOString()}, older than the lineage's newest restore point, of ${parentTime}; it becomes the newest`,
  };
}

interface CommitFacts {
  readonly data: ImportedData;
  readonly createdAt: Date;
  readonly warnings: readonly string[];
}

function commitInput(facts: ImportFacts, { data, createdAt, warnings }: CommitFacts): CommitInput {
  const { settings, source, toc, lineage, startedAt } = facts;
  const { header } = toc;
  const file = basename(source.path);
  return {
    lineage,
    startedAt: startedAt.toISOString(),
    snapshotAt: createdAt.toISOString(),
    source: {
      serverVersion: header.serverVersion,
      serverVersionNum: versionNumber(header.serverVersion),
      hostRole: "primary",
      host: null,
    },
    snapshot: { xmin: null, xmax: null, lsn: null, timeline: null },
    tool: { cairnVersion: CAIRN_VERSION, pgDumpVersion: header.pgDumpVersion, pgDumpPath: `imported from ${file}` },
    options: {
      selection: [],
      imported: { file, format: source.format, archiveVersion: header.version },
      ...(source.format === "plain" ? { quarantined: "plain SQL" } : {}),
    },
    tags: settings.tags,
    textEncoding: toc.textEncoding,
    warnings,
    relations: data.relations,
    largeObjects: data.largeObjects,
    toc: storedToc(toc),
  };
}

/** Head and entries as they are, in the form of a custom archive whose data is elsewhere. */
function storedToc(toc: Toc): Uint8Array {
  const version = toc.header.version < STORED_VERSION_MIN ? STORED_VERSION_MIN : toc.header.version;
  const { toc: converted } = convertToc(toc, version);
  return encodeHeadAndToc({ ...converted, header: { ...converted.header, format: "custom" } }, { offsets: "not-set" })
    .bytes;
}

/** "18.6 (Debian…)" is 180006, "9.6.24" is 90624; 0 when it cannot be told. */
function versionNumber(text: string): number {
  const [, first, second, third] = /^(\d+)(?:\.(\d+))?(?:\.(\d+))?/.exec(text) ?? [];
  if (first === undefined) return 0;
  const [major, minor, patch] = [Number(first), Number(second ?? 0), Number(third ?? 0)];
  return major >= 10 ? major * 10_000 + minor : major * 10_000 + minor * 100 + patch;
}

function receiptOf(facts: ImportFacts, summary: RestorePointSummary): ImportReceipt {
  const { source, toc, repository, startedAt } = facts;
  const { totals } = summary;
  return {
    id: summary.id,
    lineage: summary.lineage.name,
    parentId: summary.parentId,
    repository: repository.description,
    file: source.path,
    format: source.format,
    isQuarantined: source.format === "plain",
    databaseName: toc.header.databaseName,
    serverVersion: toc.header.serverVersion,
    pgDumpVersion: toc.header.pgDumpVersion,
    archiveCreatedAt: summary.snapshotAt,
    entryCount: toc.entries.length,
    tableCount: totals.relations,
    rowCount: totals.rows,
    largeObjectCount: totals.largeObjects,
    rawBytes: totals.rawBytes,
    newBytes: totals.newBytes,
    reusedBytes: totals.reusedBytes,
    durationMs: new Date(summary.finishedAt).getTime() - startedAt.getTime(),
    warnings: summary.warnings,
  };
}
