// Relations whose columns, types or file changed while they were read: what COPY printed of them at first and at last may
// not agree, and what was taken over may not agree with either.

import type { Dump, TablePlan } from "../../../dump/index.ts";
import type { RelationShape } from "../../../incremental/index.ts";
import type { OperationContext } from "../../operation.ts";
import type { SettledSource } from "../../source/settle-source.ts";
import { askServer, readShapes, type ServerView } from "./server-view.ts";

const ATTEMPT_COUNT_MAX = 3;

/** What became of the tables' definitions while they were read. */
export interface Stability {
  readonly unstable: readonly TablePlan[];
  /** False: it could not be found out, and all tables count as unstable. */
  readonly isKnown: boolean;
}

/** Tables that changed since `server` was viewed. */
export async function findUnstable(
  context: OperationContext,
  source: SettledSource,
  { dump, server }: { readonly dump: Dump; readonly server: ServerView },
): Promise<Stability> {
  for (let attempt = 1; attempt <= ATTEMPT_COUNT_MAX; attempt += 1) {
    const now = await askServer(context, source, (session) => readShapes(session, dump, context.signal));
    if (now.kind === "unknown") continue;
    const unstable = dump.tables.filter(({ relation: { oid } }) => {
      return !isSame(server.shapes.get(oid), now.value.get(oid));
    });
    return { unstable, isKnown: true };
  }
  return { unstable: dump.tables, isKnown: false };
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
