// `cairn export`: a restore point as one archive of any format of pg_dump, or as plain SQL. Anything less than all of it
// leaves no file, and no folder.

import { OperatingError } from "../../base/errors.ts";
import { fullSizeBytes, type Repository, type RestorePoint } from "../../repository/index.ts";
import { planArchive } from "../archive-file/archive-plan.ts";
import { checkFileTarget, checkFreeSpace, TemporaryFile } from "../archive-file/file-sink.ts";
import { checkFolderTarget, TemporaryFolder } from "../archive-file/folder-sink.ts";
import { beginPhase } from "../events.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import { isQuarantined, RestorePointContents } from "../restore-point-contents.ts";
import type { ExportFormat, ExportReport, ExportSettings } from "./types.ts";
import { writeCustom, writeDirectory, writeTar, type ArchiveWriting } from "./write-archive.ts";
import type { Counts } from "./write-entries.ts";
import { clusterTotals, writePlainCluster } from "./write-plain-cluster.ts";
import { restrictKeyOf, writePlain, writeQuarantined } from "./write-plain.ts";

const FORMATS: readonly ExportFormat[] = ["custom", "directory", "tar", "plain"];

/** What was written, and where. */
interface Output {
  readonly counts: Counts;
  readonly sizeBytes: number;
  readonly sha256: string | null;
}

/** Writes a restore point out. Throws "archive_unsupported" for what is in quarantine, unless it is written as plain SQL. */
export async function runExport(context: OperationContext, settings: ExportSettings): Promise<ExportReport> {
  const startedAtMs = performance.now();
  const format = formatOf(settings);
  const path = await (format === "directory" ? checkFolderTarget(settings) : checkFileTarget(settings));
  beginPhase(context, "open", "opening the restore point");
  await using repository = await openRepositoryAt(settings.repository);
  const id = await repository.resolve(settings.reference, context.signal);
  const restorePoint = await repository.openRestorePoint(id, context.signal);
  const exporting: Exporting = { settings, repository, restorePoint, path };
  const { counts, sizeBytes, sha256, ...form } = await (format === "plain"
    ? exportPlain(context, exporting)
    : exportArchive(context, exporting, format));
  return {
    restorePointId: id,
    file: path,
    format,
    sizeBytes,
    sha256,
    ...form,
    ...counts,
    durationMs: Math.round(performance.now() - startedAtMs),
  };
}

interface Exporting {
  readonly settings: ExportSettings;
  readonly repository: Repository;
  readonly restorePoint: RestorePoint;
  /** Absolute, checked. */
  readonly path: string;
}

type Exported = Output & Pick<ExportReport, "archiveVersion" | "compression" | "readableBy">;

async function exportArchive(
  context: OperationContext,
  exporting: Exporting,
  format: Exclude<ExportFormat, "plain">,
): Promise<Exported> {
  const { settings, restorePoint, path } = exporting;
  const { archiveVersion, compression } = settings;
  const contents = await RestorePointContents.open(restorePoint);
  const plan = planArchive(contents.toc, { format, archiveVersion, compression });
  const { totals } = restorePoint.manifest;
  await checkFreeSpace(path, plan.algorithm === "none" ? totals.rawBytes : fullSizeBytes(restorePoint.manifest));
  beginPhase(context, "write", `writing ${path}`);
  const writing: ArchiveWriting = { contents, plan, totalBytes: totals.rawBytes };
  const output = await (format === "directory"
    ? intoFolder(exporting, (folder) => writeDirectory(context, folder, writing))
    : intoFile(context, exporting, (file) =>
        format === "tar" ? writeTar(context, file, writing) : writeCustom(context, file, writing),
      ));
  return { ...output, archiveVersion: plan.version, compression: plan.compression, readableBy: plan.readableBy };
}

async function exportPlain(context: OperationContext, exporting: Exporting): Promise<Exported> {
  const { settings, repository, restorePoint, path } = exporting;
  const { cluster } = restorePoint.manifest;
  if ((settings.compression ?? "none") !== "none") {
    throw new OperatingError("usage", "plain SQL is written without compression");
  }
  if (settings.archiveVersion !== null) throw new OperatingError("usage", "plain SQL has no archive version");
  await checkFreeSpace(path, promised(restorePoint).rawBytes);
  beginPhase(context, "write", `writing ${path}`);
  const restrictKey = restrictKeyOf(settings.restrictKey);
  const output = await intoFile(context, exporting, (file) => {
    if (cluster !== undefined) {
      return writePlainCluster(context, file, { repository, restorePoint, cluster, restrictKey });
    }
    return isQuarantined(restorePoint)
      ? writeQuarantined(context, file, restorePoint)
      : writePlain(context, file, { restorePoint, restrictKey });
  });
  const readableBy = isQuarantined(restorePoint) ? "whoever has read it first: it is in quarantine" : "psql";
  return { ...output, archiveVersion: null, compression: "none", readableBy };
}

async function intoFile(
  context: OperationContext,
  { settings, restorePoint, path }: Exporting,
  write: (file: TemporaryFile) => Promise<Counts>,
): Promise<Output> {
  await using file = await TemporaryFile.create({ file: path, overwrite: settings.overwrite });
  const counts = await write(file);
  checkRows(counts, restorePoint);
  await file.drain();
  const [sha256] = await Promise.all([file.sha256(context.signal), file.sync()]);
  const { sizeBytes } = file;
  await file.publish();
  return { counts, sizeBytes, sha256 };
}

async function intoFolder(
  { restorePoint, path }: Exporting,
  write: (folder: TemporaryFolder) => Promise<Counts>,
): Promise<Output> {
  await using folder = await TemporaryFolder.create(path);
  const counts = await write(folder);
  checkRows(counts, restorePoint);
  await folder.publish();
  return { counts, sizeBytes: folder.sizeBytes, sha256: null };
}

/** What the restore point says that it holds; a whole server's is what it names. */
function promised({ manifest }: RestorePoint): { readonly rows: number; readonly rawBytes: number } {
  return manifest.cluster === undefined ? manifest.totals : clusterTotals(manifest.cluster);
}

function checkRows({ rowCount }: Counts, restorePoint: RestorePoint): void {
  const { rows } = promised(restorePoint);
  if (rowCount === rows) return;
  throw new OperatingError("corrupt", `${rowCount} rows were written, the restore point has ${rows}`);
}

function formatOf({ format }: ExportSettings): ExportFormat {
  const found = FORMATS.find((name) => name === format || name[0] === format);
  if (found !== undefined) return found;
  throw new OperatingError("usage", `format "${format}" is not known`, {
    hint: `The formats are ${FORMATS.join(", ")}, or their first letters.`,
  });
}
