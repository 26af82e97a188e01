// The two failures of an archive: it is not valid (names offset and field), or it is of a kind that is not read.

import { OperatingError } from "../base/errors.ts";

/** The archive's bytes break the format: `field` is the thing being read, `problem` what is wrong with it. */
export function invalidArchive(offset: number, field: string, problem: string): OperatingError {
  return new OperatingError("archive_invalid", `archive is not valid: ${field} at offset ${offset}: ${problem}`, {
    hint: "The file is damaged, incomplete, or no archive of pg_dump. Fetch it again, or use another copy.",
  });
}

/** The archive is of a version, format or compression that is not read or written here. */
export function unsupportedArchive(message: string, hint?: string): OperatingError {
  return new OperatingError("archive_unsupported", message, { hint });
}

/** The data of an entry cannot be decoded, or is not what was written. */
export function corruptData(field: string, problem: string, cause?: unknown): OperatingError {
  return new OperatingError("corrupt", `could not decode ${field}: ${problem}`, { cause });
}
