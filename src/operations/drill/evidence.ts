// The evidence of a drill: the report as JSON, and one page for people. Both new files, for their owner only.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { OperatingError } from "../../base/errors.ts";
import { evidencePage } from "./evidence-page.ts";
import type { DrillReport } from "./types.ts";

/** Writes `drill-<restore point>-<time>.json` and `.html` into the folder; the report that names them. */
export async function writeEvidence(folder: string, report: DrillReport): Promise<DrillReport> {
  const time = report.startedAt.replaceAll(/[-:]|\.\d+/g, "");
  const base = join(folder, `drill-${report.restorePointId}-${time}`);
  const named: DrillReport = { ...report, evidence: { json: `${base}.json`, html: `${base}.html` } };
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(`${base}.json`, `${JSON.stringify(named, null, 2)}\n`, { mode: 0o600, flag: "wx" });
    await writeFile(`${base}.html`, evidencePage(named), { mode: 0o600, flag: "wx" });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new OperatingError("permission_denied", `could not write the evidence into "${folder}": ${reason}`, {
      hint: "Name a folder that you may write to.",
      cause: error,
    });
  }
  return named;
}
