// What SSH, SFTP and the network say, as our errors: code, a sentence, the cure, whether trying again can help. SFTP's
// statuses are few: a full disk, a quota, and a name that is taken are all the same "Failure".
// Sources: draft-ietf-secsh-filexfer-02, "Responses from the Server to the Client"; OpenSSH's sftp-server.c, errno_to_portable().

import { messageOf, OperatingError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";

const TEXT_LENGTH_MAX = 300;

/** Statuses of SFTP version 3 that mean something to us. */
export const STATUS = {
  endOfFile: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  badMessage: 5,
  noConnection: 6,
  connectionLost: 7,
  unsupported: 8,
} as const;

const RIGHTS_HINT = 'Run "cairn storage test" with this URI: it names the rights that are missing.';
export const CONNECTION_HINT = "Look at the server's state and at the network, then run the command again.";
const UNREACHABLE = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "EHOSTDOWN"];

interface Meaning {
  readonly code: ErrorCode;
  readonly says: string;
  readonly hint?: string;
  readonly retryable?: boolean;
}

const MEANINGS: Readonly<Record<number, Meaning>> = {
  [STATUS.endOfFile]: { code: "corrupt", says: "it ends before the range that was asked for" },
  [STATUS.noSuchFile]: { code: "not_found", says: "no such file" },
  [STATUS.permissionDenied]: { code: "permission_denied", says: "permission denied", hint: RIGHTS_HINT },
  [STATUS.failure]: { code: "storage_failed", says: "the server could not do it, and does not say why" },
  [STATUS.noConnection]: { code: "storage_failed", says: "the server has no connection", retryable: true },
  [STATUS.connectionLost]: { code: "storage_failed", says: "the server lost its connection", retryable: true },
  [STATUS.unsupported]: { code: "storage_failed", says: "the server cannot do it" },
};

/** The SFTP status that a request was answered with; 0 for all else that can go wrong. */
export function statusOf(error: unknown): number {
  const code: unknown = typeof error === "object" && error !== null && "code" in error ? error.code : null;
  return typeof code === "number" && !("level" in (error as object)) ? code : 0;
}

/** An OperatingError for a request that failed: `action` reads `could not write "packs/…"`. */
export function sftpError(error: unknown, action: string): OperatingError {
  if (error instanceof OperatingError) return error.message.startsWith(action) ? error : prefixed(error, action);
  const meaning = MEANINGS[statusOf(error)];
  if (meaning === undefined) {
    return new OperatingError("storage_failed", `${action}: ${wordsOf(error)}`, { cause: error });
  }
  const { code, hint, retryable = false, says } = meaning;
  return new OperatingError(code, `${action}: ${says}`, { hint, retryable, cause: error });
}

function prefixed(error: OperatingError, action: string): OperatingError {
  const { code, detail, hint, message, retryable } = error;
  return new OperatingError(code, `${action}: ${message}`, { detail, hint, retryable, cause: error });
}

/** The connection is gone: whatever was under way may or may not have been done. */
export function connectionLost(where: string, cause?: unknown): OperatingError {
  const why = cause === undefined || /no response from server/i.test(messageOf(cause)) ? "" : ` (${wordsOf(cause)})`;
  return new OperatingError("storage_failed", `the connection with ${where} broke off${why}`, {
    hint: CONNECTION_HINT,
    retryable: true,
    cause,
  });
}

/** No connection came about, for any reason but the host's key and the login. */
export function unreachable(error: unknown, where: string): OperatingError {
  if (error instanceof OperatingError) return error;
  const words = wordsOf(error);
  const systemCode = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  const hint = UNREACHABLE.includes(systemCode)
    ? "Check host and port in the URI, this machine's network, and whether the SSH server runs."
    : CONNECTION_HINT;
  const noCommonWay = /no matching|unsupported|protocol version/i.test(words);
  return new OperatingError("connection_failed", `no SSH connection with ${where}: ${words}`, {
    hint: noCommonWay ? "The server is too old, or offers no algorithm that is safe: update it." : hint,
    retryable: !noCommonWay,
    cause: error,
  });
}

/** The words of an error, short, on one line. */
function wordsOf(error: unknown): string {
  const text = messageOf(error).slice(0, TEXT_LENGTH_MAX).replace(/\.$/, "");
  // oxlint-disable-next-line no-control-regex -- a server's words go to a terminal
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, " ").trim() || "it failed without a reason";
}
