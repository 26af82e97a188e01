// What is said when the schemas of tables were altered while these were read by name.

import type { Dump } from "../../dump/index.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";

const SCHEMAS_NAMED_MAX = 5;

/** Warnings for the receipt; none when nothing was altered. */
export function warnOfAlteredSchemas(context: OperationContext, { tablesInDoubt }: Dump): string[] {
  if (tablesInDoubt.length === 0) return [];
  const schemas = [...new Set(tablesInDoubt.map(({ relation }) => `"${relation.namespace}"`))];
  const more = schemas.length > SCHEMAS_NAMED_MAX ? ` and ${schemas.length - SCHEMAS_NAMED_MAX} more` : "";
  const message = `schemas were altered while their tables were read: ${schemas.slice(0, SCHEMAS_NAMED_MAX).join(", ")}${more}`;
  const detail =
    "A GRANT or a new owner does no harm. Rows are read by name: had a schema been renamed and renamed back, they could be of other tables.";
  return [warn(context, { message, detail, hint: "Where schemas were renamed, take another backup." })];
}
