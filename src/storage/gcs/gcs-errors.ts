// What Google Cloud Storage, its token services and the network say, as our errors: code, a sentence, the cure, whether
// sending again can help. Source: Google's documentation, "HTTP status and error codes for JSON".

import { messageOf, OperatingError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import type { GcsLocation } from "./gcs-location.ts";

const TEXT_LENGTH_MAX = 300;
/** Longer than this, nobody is left alone. */
const WAIT_MS_MAX = 60_000;

/** A failure as it is told. */
export interface Meaning {
  readonly code: ErrorCode;
  readonly hint?: string;
  readonly retryable?: boolean;
  /** In place of the server's own words. */
  readonly says?: string;
}

/** A failure whose meaning was known where it arose; what was being done is added by gcsError(). */
export class MeantFailure extends Error {
  readonly meaning: Meaning;

  constructor(meaning: Meaning) {
    super(meaning.says ?? "it failed without a reason");
    this.meaning = meaning;
  }
}

/** An answer that is no success. */
export class AnswerFailure extends Error {
  readonly status: number;
  /** Google's name for the reason, "" where none was given. */
  readonly reason: string;
  /** How long it asks to be left alone, by its Retry-After in seconds. */
  readonly waitMs: number;

  constructor(status: number, text: string, retryAfter?: string) {
    const { reason, words } = reasonOf(text);
    super(words);
    this.status = status;
    this.reason = reason;
    this.waitMs = /^\d{1,6}$/.test(retryAfter ?? "") ? Math.min(Number(retryAfter) * 1000, WAIT_MS_MAX) : 0;
  }
}

const KEYS_HINT =
  'Check GOOGLE_APPLICATION_CREDENTIALS, or what "gcloud auth application-default login" left: whether the account still exists and its key is valid.';
const RIGHTS_HINT =
  'Run "cairn storage test" with this URI. The role "Storage Object User" on the bucket holds all rights that Cairn needs, "Storage Object Viewer" those to restore.';
const SERVER_HINT = "The server is at fault or overloaded. Look at its state, then run the command again.";

const busy: Meaning = { code: "storage_failed", hint: SERVER_HINT, retryable: true };
const denied: Meaning = { code: "permission_denied", hint: RIGHTS_HINT };
const kept: Meaning = {
  code: "permission_denied",
  hint: "The bucket's retention policy, or a hold, keeps its objects from being deleted or replaced for now.",
};
const full: Meaning = { code: "no_space", hint: "Make room. What was there before is untouched." };
const taken: Meaning = { code: "repository_exists", says: "it is there already" };

const REASONS: Readonly<Record<string, Meaning>> = {
  conditionNotMet: taken,
  rateLimitExceeded: busy,
  userRateLimitExceeded: busy,
  usageLimitsRateLimitExceeded: busy,
  backendError: busy,
  internalError: busy,
  uploadBrokenConnection: busy,
  retentionPolicyNotMet: kept,
  objectUnderActiveHold: kept,
  insufficientPermissions: {
    code: "permission_denied",
    says: "the credentials may not be used for Cloud Storage",
    hint: 'They were made for other services only: their scopes lack "devstorage.read_write". Give the machine or the login that scope.',
  },
  accountDisabled: { code: "permission_denied", hint: "Look at the project's billing account." },
  userProjectMissing: { code: "usage", hint: 'Give the project that pays: "…?project=PROJECT" in the URI.' },
  userProjectInvalid: { code: "usage", hint: 'Check "project" in the URI.' },
  userProjectAccessDenied: {
    code: "permission_denied",
    hint: 'The account may not let that project pay: it needs the right serviceusage.services.use there. Check "project" in the URI.',
  },
};

const UNREACHABLE = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "EHOSTDOWN"];
const BROKEN = ["ECONNRESET", "EPIPE", "ECONNABORTED", "ERR_STREAM_PREMATURE_CLOSE"];

/** Whose failure: what was being done, where. */
export interface FailurePlace {
  /** `could not read "packs/…"`. */
  readonly action: string;
  readonly location: GcsLocation;
}

/** An OperatingError for anything that a request threw. */
export function gcsError(error: unknown, { action, location }: FailurePlace): OperatingError {
  if (error instanceof OperatingError) return error;
  const { code, hint, retryable = false, says } = meaningOf(error, location);
  const words = wordsOf(error);
  const detail = says === undefined || says === words ? undefined : `The reason given: ${words.replace(/\.$/, "")}.`;
  return new OperatingError(code, `${action}: ${says ?? words}`, { detail, hint, retryable, cause: error });
}

/** The HTTP status of a failed answer; 0 for other failures. */
export function statusOf(error: unknown): number {
  return error instanceof AnswerFailure ? error.status : 0;
}

/** True for the answer that there is no such bucket, which has the status of one that there is no such object. */
export function isMissingBucket(error: unknown): boolean {
  return error instanceof AnswerFailure && error.status === 404 && /\bbucket does not exist/i.test(error.message);
}

/** True for the answer that what arrived has another checksum than what was sent. */
export function isDamagedOnTheWay(error: unknown): boolean {
  return error instanceof AnswerFailure && error.status === 400 && /\b(md5|crc32c)\b.*\bmatch/i.test(error.message);
}

function meaningOf(error: unknown, location: GcsLocation): Meaning {
  if (error instanceof MeantFailure) return error.meaning;
  if (isMissingBucket(error)) return missingBucket(location);
  if (error instanceof AnswerFailure) return REASONS[error.reason] ?? meaningOfStatus(error);
  const where = location.isGoogle ? "Google Cloud Storage" : location.endpoint;
  return meaningOfSystemError(error, where, 'Check "endpoint" in the URI, this machine\'s network, and whether the storage runs.') ?? { code: "storage_failed" }; // prettier-ignore
}

function missingBucket({ bucket, endpoint, isGoogle }: GcsLocation): Meaning {
  return {
    code: "storage_failed",
    says: `there is no bucket "${bucket}" at ${isGoogle ? "Google Cloud Storage" : endpoint}`,
    hint: "Check the bucket's name in the URI, or make the bucket. Cairn makes none.",
  };
}

/** What the network or TLS said; null for other errors. */
export function meaningOfSystemError(error: unknown, where: string, hint: string): Meaning | null {
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  if (UNREACHABLE.includes(code)) {
    return { code: "connection_failed", says: `${where} cannot be reached`, retryable: true, hint };
  }
  if (code === "ERR_PROXY_TUNNEL") return meaningOfTunnel(error as { statusCode?: number }, where);
  // HPE_…: what came is no HTTP.
  if (BROKEN.includes(code) || code.startsWith("HPE_") || /socket hang up|aborted/i.test(messageOf(error))) {
    return { ...busy, says: "the connection broke off" };
  }
  if (/^(ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|EPROTO)/.test(code)) {
    return {
      code: "connection_failed",
      says: `no trusted connection with ${where}`,
      hint: "Check https or http in the endpoint; for a certificate of your own authority, name it in NODE_EXTRA_CA_CERTS.",
    };
  }
  return null;
}

/** The proxy on the way opened no tunnel; without a status it gave no answer in time, or none that is HTTP. */
function meaningOfTunnel({ statusCode = 0 }: { readonly statusCode?: number }, where: string): Meaning {
  const hint = "Look at the proxy that HTTPS_PROXY names.";
  const isPassing = !(statusCode >= 300 && statusCode < 500) || statusCode === 408 || statusCode === 429;
  return { code: "connection_failed", says: `the proxy opens no way to ${where}`, retryable: isPassing, hint };
}

function meaningOfStatus(failure: AnswerFailure): Meaning {
  const { status } = failure;
  if (status === 404) return { code: "not_found" };
  if (status === 401) return { code: "permission_denied", hint: KEYS_HINT, says: "the credentials are not valid" };
  if (status === 403) return denied;
  if (status === 412) return taken;
  if (status === 416) return { code: "corrupt", says: "it ends before the range that was asked for" };
  if (status === 507) return full;
  // Not at rest: what is sent again is right.
  if (isDamagedOnTheWay(failure)) return busy;
  if (status === 408 || status === 409 || status === 429 || status >= 500) return busy;
  if (status >= 300 && status < 400) {
    return { code: "storage_failed", hint: 'Check "endpoint" in the URI: what answers there is no Cloud Storage.' };
  }
  return { code: "storage_failed" };
}

/** Google's reason and words, out of its JSON, or of an answer of plain text. */
function reasonOf(text: string): { readonly reason: string; readonly words: string } {
  try {
    const said = JSON.parse(text) as { error?: { message?: unknown; errors?: { reason?: unknown }[] } };
    const words = said.error?.message;
    const reason = said.error?.errors?.[0]?.reason;
    if (typeof words === "string") return { reason: typeof reason === "string" ? reason : "", words };
  } catch {
    // Not JSON: uploads and downloads are answered in plain text, proxies in HTML.
  }
  return { reason: "", words: text.trimStart().startsWith("<") ? "" : text };
}

/** The server's words, short, on one line. */
function wordsOf(error: unknown): string {
  // OpenSSL's errors begin with a thread's number and end with a place in its sources.
  const text = messageOf(error)
    .replace(/[0-9A-F]{8,}:error:/, "")
    .replace(/:[^: ]*\.c:\d+:\s*$/, "")
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, TEXT_LENGTH_MAX);
  if (text !== "") return text;
  const status = statusOf(error);
  return status === 0 ? "it failed without a reason" : `the storage answered with HTTP status ${status}`;
}
