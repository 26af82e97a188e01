// The file system's errors as ours.

import { messageOf, OperatingError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";

const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "not_found",
  ENOTDIR: "not_found",
  ENOSPC: "no_space",
  EDQUOT: "no_space",
  EACCES: "permission_denied",
  EPERM: "permission_denied",
  EROFS: "permission_denied",
  EEXIST: "repository_exists",
};

const HINTS: Partial<Record<ErrorCode, string>> = {
  no_space: "Free some space on that file system and run it again; what was there before is untouched.",
  permission_denied: "Check the owner and the mode of that folder, and whether it is mounted read-only.",
};

/** The system's code of an error ("ENOENT"), or "". */
export function systemCode(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
}

/** An OperatingError for a failed file operation: `action` reads "could not write \"packs/…\"". */
export function fileError(error: unknown, action: string): OperatingError {
  if (error instanceof OperatingError) return error;
  const code = CODES[systemCode(error)] ?? "storage_failed";
  return new OperatingError(code, `${action}: ${messageOf(error)}`, { hint: HINTS[code], cause: error });
}

/** The same for a writer: a folder that vanished, or a file where a folder should be, is not "not found" to it. */
export function writeError(error: unknown, name: string): OperatingError {
  const failure = fileError(error, `could not write "${name}"`);
  const isCondition = error instanceof OperatingError;
  if (isCondition || (failure.code !== "not_found" && failure.code !== "repository_exists")) return failure;
  return new OperatingError("storage_failed", failure.message, { cause: error });
}
