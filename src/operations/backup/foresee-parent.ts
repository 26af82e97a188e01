// The likely parent is read while pg_dump is at work, which mostly takes longer. Nothing depends on it: what goes wrong here is
// met again, and then told, when the parent is wanted.

import { readDatabaseIdentity, type SnapshotFacts } from "../../dump/index.ts";
import type { Lineage, Repository } from "../../repository/index.ts";
import type { OperationContext } from "../operation.ts";
import type { SettledSource } from "../source/settle-source.ts";
import type { ServerLife } from "./incremental/index.ts";

interface Foreseeing {
  readonly source: SettledSource;
  readonly lineageName: string;
  readonly life: Promise<ServerLife>;
}

/** Has the repository read what the lineage will most likely continue. Never throws. */
export async function foreseeParent(
  { signal }: OperationContext,
  repository: Repository,
  { source, lineageName, life }: Foreseeing,
): Promise<void> {
  try {
    const session = await life;
    const identity = await session.ask(async (asked) => {
      return { kind: "known", value: await readDatabaseIdentity(asked, signal) };
    });
    if (identity.kind === "unknown") return;
    await repository.foreseeLineage(makeLineage(lineageName, source, identity.value), signal);
  } catch {
    // It is done again when the snapshot is there.
  }
}

/** The lineage of a source, under that name. */
export function makeLineage(
  name: string,
  { settings }: SettledSource,
  { databaseOid, systemIdentifier }: Pick<SnapshotFacts, "databaseOid" | "systemIdentifier">,
): Lineage {
  return {
    name,
    systemIdentifier: systemIdentifier?.toString() ?? "unknown",
    databaseOid,
    databaseName: settings.database,
  };
}
