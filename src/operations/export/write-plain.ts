// A restore point as plain SQL, as pg_restore prints it; and a script that is in quarantine, byte by byte as it came.

import { randomBytes } from "node:crypto";

import { OperatingError } from "../../base/errors.ts";
import type { RestorePoint } from "../../repository/index.ts";
import { sqlScript } from "../../restore/index.ts";
import type { TemporaryFile } from "../archive-file/file-sink.ts";
import type { OperationContext } from "../operation.ts";
import { RestorePointContents } from "../restore-point-contents.ts";
import { reporter, type Counts } from "./write-entries.ts";

const RESTRICT_KEY_BYTES = 32;

/** The key that was given, or a random one. */
export function restrictKeyOf(given: string | undefined): string {
  if (given === undefined) return randomBytes(RESTRICT_KEY_BYTES).toString("hex");
  if (/^[A-Za-z0-9]+$/.test(given)) return given;
  throw new OperatingError("usage", "a restrict key is of letters and digits only");
}

/** Writes the script. */
export async function writePlain(
  context: OperationContext,
  file: TemporaryFile,
  { restorePoint, restrictKey }: { readonly restorePoint: RestorePoint; readonly restrictKey: string },
): Promise<Counts> {
  const { counts, report } = begin(context, file, restorePoint);
  const script = sqlScript(await RestorePointContents.open(restorePoint), {
    restrictKey,
    signal: context.signal,
    onData: ({ rawBytes, rowCount }) => {
      counts.rawBytes += rawBytes;
      counts.rowCount += rowCount;
      report();
    },
  });
  for await (const bytes of script) await file.write(bytes);
  return counts;
}

/** Writes the script that import took along. */
export async function writeQuarantined(
  context: OperationContext,
  file: TemporaryFile,
  restorePoint: RestorePoint,
): Promise<Counts> {
  const { counts, report } = begin(context, file, restorePoint);
  for (const relation of restorePoint.manifest.relations) {
    for await (const { chunks } of restorePoint.segments(relation, context.signal)) {
      for (const chunk of chunks) {
        await file.write(await restorePoint.loadChunk(chunk, context.signal));
        counts.rawBytes += chunk.rawLengthBytes;
        counts.rowCount += chunk.rowCount;
        report();
      }
    }
  }
  return counts;
}

function begin(
  context: OperationContext,
  file: TemporaryFile,
  { manifest }: RestorePoint,
): { readonly counts: Counts; readonly report: () => void } {
  const counts: Counts = { rowCount: 0, rawBytes: 0 };
  const { rawBytes: totalBytes } = manifest.totals;
  return { counts, report: reporter(context, { counts, totalBytes, storedBytes: () => file.sizeBytes }) };
}
