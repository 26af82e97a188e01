// Relations whose columns, types or file changed while they were read: what COPY printed of them at first and at last may
// not agree, and what was taken over may not agree with either.

import { setTimeout as delay } from "node:timers/promises";

import type { Dump, TablePlan } from "../../../dump/index.ts";
import type { Answer, RelationShape } from "../../../incremental/index.ts";
import type { Session } from "../../../postgres/index.ts";
import type { OperationContext } from "../../operation.ts";
import type { SettledSource } from "../../source/settle-source.ts";
import type { ServerLife } from "./server-life.ts";
import { askServer, readShapes, type ServerView } from "./server-view.ts";

/** Before each further attempt, on a new session. */
const PAUSES_MS = [1_000, 5_000, 15_000] as const;

/** What became of the tables' definitions while they were read. */
export interface Stability {
  readonly unstable: readonly TablePlan[];
  /** Why it could not be found out, and all tables count as unstable; null: it is known. */
  readonly unknownBecause: string | null;
}

interface Looking {
  readonly source: SettledSource;
  readonly dump: Dump;
  readonly server: ServerView;
  readonly life: ServerLife;
}

/** Tables that changed since `server` was viewed. */
export async function findUnstable(context: OperationContext, looking: Looking): Promise<Stability> {
  const { dump, server } = looking;
  const now = await lookAgain(context, looking);
  if (now.kind === "unknown") return { unstable: dump.tables, unknownBecause: now.reason };
  const unstable = dump.tables.filter(({ relation: { oid } }) => {
    return !isSame(server.shapes.get(oid), now.value.get(oid));
  });
  return { unstable, unknownBecause: null };
}

async function lookAgain(
  context: OperationContext,
  { source, dump, life }: Looking,
): Promise<Answer<ReadonlyMap<number, RelationShape>>> {
  const { signal } = context;
  const look = (session: Session): ReturnType<typeof lookAgain> => readShapes(session, dump, { seen: null, signal });
  let now = await life.ask(look);
  for (const pauseMs of PAUSES_MS) {
    if (now.kind === "known") break;
    await delay(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    now = await askServer(context, { source, dump }, look);
  }
  return now;
}

function isSame(before: RelationShape | undefined, after: RelationShape | undefined): boolean {
  if (before === undefined || after === undefined) return before === after;
  return (
    before.tablespaceOid === after.tablespaceOid &&
    before.filenode === after.filenode &&
    before.persistence === after.persistence &&
    before.columnFingerprint === after.columnFingerprint &&
    before.typeFingerprint === after.typeFingerprint
  );
}
