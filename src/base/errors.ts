// The one error type for things that go wrong in operation, and the table of its codes.
// Programmer errors use assert(); cancellation throws the AbortSignal's reason.

/** What kind of failure it was. The tables of exit statuses (cli) and HTTP statuses (server) are keyed by it. */
export type ErrorCode =
  | "usage" // the caller asked for something that makes no sense
  | "connection_failed" // could not reach or log in to a server
  | "connection_lost" // an established connection broke
  | "insufficient_privilege"
  | "server_version_unsupported"
  | "pg_dump_missing" // no pg_dump fits the server
  | "pg_dump_failed"
  | "query_failed" // the server answered with an error
  | "lock_timeout"
  | "source_unstable" // tables or their names kept changing, or names were exchanged while they were read
  | "value_too_large"
  | "preflight_failed"
  | "no_repository"
  | "repository_exists"
  | "wrong_key"
  | "locked"
  | "restore_point_not_found"
  | "ambiguous_reference"
  | "not_found" // a storage object that is not there
  | "corrupt" // bytes that are not what was written
  | "archive_invalid"
  | "archive_unsupported"
  | "target_not_empty"
  | "restore_incomplete" // some entries failed, the rest was done
  | "no_space"
  | "permission_denied" // by the file system or storage
  | "storage_failed"
  | "stalled" // no bytes moved for too long
  | "internal";

/** Options of an OperatingError besides its code and message. */
export interface OperatingErrorOptions {
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  readonly retryable?: boolean;
  readonly cause?: unknown;
  /** SQLSTATE when the server said it, e.g. "42501". */
  readonly sqlState?: string | undefined;
}

/**
 * A failure that a person must be told of. `message`: lower case, one line, no full stop, as PostgreSQL writes it;
 * `detail` and `hint`: sentences. None of them ever holds a secret or row data.
 */
export class OperatingError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly sqlState: string | undefined;

  constructor(code: ErrorCode, message: string, options: OperatingErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "OperatingError";
    this.code = code;
    this.detail = options.detail;
    this.hint = options.hint;
    this.retryable = options.retryable ?? false;
    this.sqlState = options.sqlState;
  }
}

/** True for an OperatingError, and with `code` given, for one of that code. */
export function isOperatingError(error: unknown, code?: ErrorCode): error is OperatingError {
  return error instanceof OperatingError && (code === undefined || error.code === code);
}

/** The message of anything thrown, on one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s*\n\s*/g, " ");
}

/** True when the file system said that there is no such file or folder. */
export function isMissing(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === "ENOENT" || code === "ENOTDIR";
}
