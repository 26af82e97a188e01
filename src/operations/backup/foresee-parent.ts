// The likely parent is read while pg_dump is at work, which mostly takes longer. Nothing depends on it: where it was not begun in
// time, the parent is read when it is wanted, and a failure is told there.

import { readDatabaseIdentity, type SnapshotFacts } from "../../dump/index.ts";
import { withinLimit } from "../../incremental/index.ts";
import type { Lineage, Repository } from "../../repository/index.ts";
import type { OperationContext } from "../operation.ts";
import type { SettledSource } from "../source/settle-source.ts";
import type { ServerLife } from "./incremental/index.ts";

interface Foreseeing {
  readonly source: SettledSource;
  readonly lineageName: string;
  readonly life: Promise<ServerLife>;
}

/** Begins to have the repository read what the lineage will most likely continue. Disposing of it ends that. */
export function foreseeParent(
  context: OperationContext,
  repository: Repository,
  foreseeing: Foreseeing,
): AsyncDisposable {
  const ended = new AbortController();
  const signal = AbortSignal.any([context.signal, ended.signal]);
  const work = foresee(repository, foreseeing, signal).catch(() => {}); // told by whoever asks the same next
  return {
    async [Symbol.asyncDispose]() {
      ended.abort();
      await work;
    },
  };
}

async function foresee(
  repository: Repository,
  { source, lineageName, life }: Foreseeing,
  signal: AbortSignal,
): Promise<void> {
  const session = await life;
  const identity = await session.ask(async (asked) => {
    return { kind: "known", value: await withinLimit(asked, () => readDatabaseIdentity(asked, signal)) };
  });
  signal.throwIfAborted();
  if (identity.kind === "known")
    await repository.foreseeLineage(makeLineage(lineageName, source, identity.value), signal);
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
