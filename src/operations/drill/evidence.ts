// The evidence of a drill: the report as JSON, and one page for people. Both new files, for their owner only.

import { access, constants, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, OperatingError } from "../../base/errors.ts";
import type { ClusterDrillReport, DrillReport } from "./types.ts";

type EvidentReport = DrillReport | ClusterDrillReport;

/** Makes the folder if need be, before a long drill begins. Throws "permission_denied". */
export async function checkEvidenceFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await access(folder, constants.W_OK);
  } catch (error) {
    throw notWritable(folder, error);
  }
}

function notWritable(folder: string, cause: unknown): OperatingError {
  return new OperatingError("permission_denied", `could not write the evidence into "${folder}": ${messageOf(cause)}`, {
    hint: "Name a folder that you may write to.",
    cause,
  });
}

/** Writes `drill-<restore point>-<time>.json` and `.html` into the folder; the report that names them. */
export async function writeEvidence<T extends EvidentReport>(
  folder: string,
  report: T,
  page: (report: T) => string,
): Promise<T> {
  const time = report.startedAt.replaceAll(/[-:]|\.\d+/g, "");
  const base = join(folder, `drill-${report.restorePointId}-${time}`);
  const named: T = { ...report, evidence: { json: `${base}.json`, html: `${base}.html` } };
  try {
    await writeFile(`${base}.json`, `${JSON.stringify(named, null, 2)}\n`, { mode: 0o600, flag: "wx" });
    await writeFile(`${base}.html`, page(named), { mode: 0o600, flag: "wx" });
  } catch (error) {
    throw notWritable(folder, error);
  }
  return named;
}
