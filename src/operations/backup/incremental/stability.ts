// Relations whose columns, types or file changed while they were read: what COPY printed of them at first and at last may
// not agree, and what was taken over may not agree with either.

import type { Dump, TablePlan } from "../../../dump/index.ts";
import type { RelationShape } from "../../../incremental/index.ts";
import type { OperationContext } from "../../operation.ts";
import type { SettledSource } from "../../source/settle-source.ts";
import { askServer, readShapes, type ServerView } from "./server-view.ts";

const ATTEMPT_COUNT_MAX = 3;

/** Tables that changed since `server` was viewed; all of them where it cannot be found out. */
export async function findUnstable(
  context: OperationContext,
  source: SettledSource,
  { dump, server }: { readonly dump: Dump; readonly server: ServerView },
): Promise<readonly TablePlan[]> {
  for (let attempt = 1; attempt <= ATTEMPT_COUNT_MAX; attempt += 1) {
    const now = await askServer(context, source, (session) => readShapes(session, dump, context.signal));
    if (now.kind === "unknown") continue;
    return dump.tables.filter(({ relation: { oid } }) => !isSame(server.shapes.get(oid), now.value.get(oid)));
  }
  return dump.tables;
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
