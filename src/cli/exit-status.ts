// Exit statuses: one table. Scripts may rely on them; docs/commands.md lists them.

import { isOperatingError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { InterruptedError } from "./interrupted-error.ts";

export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** Finished, and something that was asked for is missing. */
export const EXIT_INCOMPLETE = 3;
const EXIT_NO_REPOSITORY = 10;
const EXIT_LOCKED = 11;
const EXIT_WRONG_KEY = 12;
/** EX_SOFTWARE of sysexits.h: our bug. */
const EXIT_DEFECT = 70;

const STATUS_OF_CODE = {
  usage: EXIT_USAGE,
  connection_failed: EXIT_FAILED,
  connection_lost: EXIT_FAILED,
  insufficient_privilege: EXIT_FAILED,
  server_version_unsupported: EXIT_FAILED,
  pg_dump_missing: EXIT_FAILED,
  pg_dump_failed: EXIT_FAILED,
  query_failed: EXIT_FAILED,
  lock_timeout: EXIT_FAILED,
  source_unstable: EXIT_FAILED,
  value_too_large: EXIT_FAILED,
  preflight_failed: EXIT_FAILED,
  no_repository: EXIT_NO_REPOSITORY,
  repository_exists: EXIT_FAILED,
  wrong_key: EXIT_WRONG_KEY,
  locked: EXIT_LOCKED,
  restore_point_not_found: EXIT_FAILED,
  ambiguous_reference: EXIT_FAILED,
  not_found: EXIT_FAILED,
  corrupt: EXIT_FAILED,
  archive_invalid: EXIT_FAILED,
  archive_unsupported: EXIT_FAILED,
  target_not_empty: EXIT_FAILED,
  // As pg_restore does: entries that failed are a failure, with a summary.
  restore_incomplete: EXIT_FAILED,
  no_space: EXIT_FAILED,
  permission_denied: EXIT_FAILED,
  storage_failed: EXIT_FAILED,
  stalled: EXIT_FAILED,
  internal: EXIT_DEFECT,
} satisfies Record<ErrorCode, number>;

/** The exit status of anything that was thrown. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof InterruptedError) return error.exitStatus;
  return isOperatingError(error) ? STATUS_OF_CODE[error.code] : EXIT_DEFECT;
}
