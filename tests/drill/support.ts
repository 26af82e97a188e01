// Drills as tests run them: on the repository of a test file, with the stock tools of every major in PATH.

import {
  runDrill,
  type ClusterDrillReport,
  type DrillReport,
  type DrillSettings,
  type OnRestored,
} from "../../src/operations/drill/index.ts";
import { openSession } from "../../src/postgres/index.ts";
import type { TestRepository } from "../matrix/support.ts";

export interface DrillOptions extends Partial<DrillSettings> {
  /** SQL run in the restored database before it is compared. */
  readonly plant?: string;
  /** PATH instead of the stock tools'. */
  readonly path?: string;
  readonly signal?: AbortSignal;
  readonly onPhase?: (phase: string) => void;
}

/** Drills a restore point of one database. */
export async function drill(
  repository: TestRepository,
  reference: string,
  options: DrillOptions = {},
): Promise<DrillReport> {
  const report = await drillAny(repository, reference, options);
  if ("databases" in report) throw new Error("that restore point is of a whole server");
  return report;
}

/** Drills a restore point of a whole server. */
export async function drillServer(
  repository: TestRepository,
  reference: string,
  options: DrillOptions = {},
): Promise<ClusterDrillReport> {
  const report = await drillAny(repository, reference, options);
  if (!("databases" in report)) throw new Error("that restore point is of one database");
  return report;
}

async function drillAny(
  repository: TestRepository,
  reference: string,
  options: DrillOptions,
): Promise<DrillReport | ClusterDrillReport> {
  const { plant, path, signal, onPhase, ...settings } = options;
  const context = repository.context({ onEvent: (event) => event.type === "phase" && onPhase?.(event.phase) });
  const plantDefects: OnRestored = async (target) => {
    if (plant === undefined) return;
    await using session = await openSession(target);
    await session.query(plant);
  };
  return await runDrill(
    {
      ...context,
      ...(path === undefined ? {} : { environment: { PATH: path } }),
      ...(signal === undefined ? {} : { signal }),
    },
    {
      repository: repository.access,
      reference,
      on: null,
      assertions: [],
      evidence: null,
      jobs: 2,
      pgDump: null,
      ...settings,
    },
    plantDefects,
  );
}

/** The findings as short lines. */
export function findingsOf({ differences }: DrillReport): string[] {
  return differences.map(({ kind, name, what }) => `${kind}: ${name} ${what}`);
}
