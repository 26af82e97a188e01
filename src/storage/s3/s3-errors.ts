// What S3, the AWS client and the network say, as our errors: code, a sentence, the cure, whether sending again can help.
// Source: Amazon S3 API Reference, "Error Responses"; the names other servers use were seen in their answers.

import { messageOf, OperatingError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import type { S3Location } from "./s3-location.ts";

const TEXT_LENGTH_MAX = 300;

/** A failure as it is told. */
interface Meaning {
  readonly code: ErrorCode;
  readonly hint?: string;
  readonly retryable?: boolean;
  /** In place of the server's own words. */
  readonly says?: string;
}

const KEYS_HINT =
  "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile that is used: whether they belong to this endpoint, and still exist.";
const EXPIRED_HINT =
  "Get new credentials. For runs that last longer than they do, use a profile or a role that renews them.";
const RIGHTS_HINT = 'Run "cairn storage test" with this URI: it names the rights that are missing.';
const REGION_HINT = 'Give the bucket\'s region: "…?region=REGION" in the URI, or AWS_REGION.';
const SERVER_HINT = "The server is at fault or overloaded. Look at its state, then run the command again.";

const wrongKeys = (says: string): Meaning => ({ code: "permission_denied", hint: KEYS_HINT, says });
const expired: Meaning = { code: "permission_denied", hint: EXPIRED_HINT, says: "the credentials have expired" };
const busy: Meaning = { code: "storage_failed", hint: SERVER_HINT, retryable: true };
const full: Meaning = {
  code: "no_space",
  hint: "Raise the storage's quota, or make room. What was there before is untouched.",
};
const denied: Meaning = { code: "permission_denied", hint: RIGHTS_HINT };
const wrongRegion: Meaning = { code: "storage_failed", hint: REGION_HINT };

const MEANINGS: Readonly<Record<string, Meaning>> = {
  NoSuchKey: { code: "not_found" },
  NotFound: { code: "not_found" },
  NoSuchUpload: { code: "not_found" },
  PreconditionFailed: { code: "repository_exists", says: "it is there already" },
  ConditionalRequestConflict: busy,
  OperationAborted: busy,
  InvalidRange: { code: "corrupt", says: "it ends before the range that was asked for" },
  AccessDenied: denied,
  AllAccessDisabled: denied,
  AccountProblem: denied,
  InvalidObjectState: {
    code: "storage_failed",
    says: "it lies in an archive and must be restored by the storage first",
  },
  InvalidAccessKeyId: wrongKeys("the storage does not know the access key"),
  SignatureDoesNotMatch: wrongKeys("the secret key is not that of the access key"),
  InvalidSecurity: wrongKeys("the credentials are not valid"),
  InvalidClientTokenId: wrongKeys("the credentials are not valid"),
  UnrecognizedClientException: wrongKeys("the credentials are not valid"),
  AuthFailure: wrongKeys("the credentials are not valid"),
  InvalidToken: wrongKeys("the session token is not valid"),
  ExpiredToken: expired,
  ExpiredTokenException: expired,
  TokenRefreshRequired: expired,
  RequestExpired: expired,
  // The client learns the server's time from the answer, and signs the next attempt with it.
  RequestTimeTooSkewed: { code: "permission_denied", hint: "Set this machine's clock right.", retryable: true },
  PermanentRedirect: wrongRegion,
  TemporaryRedirect: { ...wrongRegion, retryable: true },
  AuthorizationHeaderMalformed: wrongRegion,
  IllegalLocationConstraintException: wrongRegion,
  SlowDown: busy,
  ServiceUnavailable: busy,
  InternalError: busy,
  RequestTimeout: busy,
  Throttling: busy,
  ThrottlingException: busy,
  TooManyRequests: busy,
  IncompleteBody: busy,
  // Damaged on the way, not at rest: what is sent again is right.
  BadDigest: busy,
  InvalidDigest: busy,
  XAmzContentSHA256Mismatch: busy,
  XAmzContentChecksumMismatch: busy,
  QuotaExceeded: full,
  StorageFull: full,
  XMinioStorageFull: full,
  XMinioAdminBucketQuotaExceeded: full,
  InvalidStorageClass: { code: "usage", hint: 'Change "storage-class" in the URI.' },
  NotImplemented: {
    code: "storage_failed",
    hint: 'The storage lacks something that Cairn asked for. Try "checksum=md5" in the URI, and "cairn storage test".',
  },
};

const UNREACHABLE = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "EHOSTDOWN"];
const BROKEN = ["ECONNRESET", "EPIPE", "ECONNABORTED", "ERR_STREAM_PREMATURE_CLOSE", "HPE_INVALID_CONSTANT"];

/** Whose failure: what was being done, where. */
export interface FailurePlace {
  /** `could not read "packs/…"`. */
  readonly action: string;
  readonly location: S3Location;
}

/** An OperatingError for anything that a request threw. */
export function s3Error(error: unknown, place: FailurePlace): OperatingError {
  if (error instanceof OperatingError) return error;
  const { action, location } = place;
  const { hint, retryable = false, says, code } = meaningOf(error, location);
  const detail = says === undefined ? undefined : `The reason given: ${wordsOf(error).replace(/\.$/, "")}.`;
  return new OperatingError(code, `${action}: ${says ?? wordsOf(error)}`, { detail, hint, retryable, cause: error });
}

/** The server's name for a failure, "" when it gave none. */
export function failureName(error: unknown): string {
  const name = typeof error === "object" && error !== null && "name" in error ? String(error.name) : "";
  return ["Error", "Unknown", "UnknownError", "S3ServiceException"].includes(name) ? "" : name;
}

/** The HTTP status of the answer; 0 when there was none. */
export function failureStatus(error: unknown): number {
  const { $metadata, $response } = (typeof error === "object" && error !== null ? error : {}) as {
    $metadata?: { httpStatusCode?: number };
    $response?: { statusCode?: number };
  };
  return $metadata?.httpStatusCode ?? $response?.statusCode ?? 0;
}

function meaningOf(error: unknown, location: S3Location): Meaning {
  const name = failureName(error);
  if (name === "NoSuchBucket") return missingBucket(location);
  if (name === "CredentialsProviderError") return noCredentials();
  const known = MEANINGS[name];
  if (known !== undefined) return known;
  return meaningOfSystemError(error, location) ?? meaningOfStatus(failureStatus(error)) ?? meaningOfText(error);
}

function missingBucket({ bucket, endpoint }: S3Location): Meaning {
  return {
    code: "storage_failed",
    says: `there is no bucket "${bucket}" at ${endpoint ?? "AWS"}`,
    hint: "Check the bucket's name in the URI, its endpoint and region; or make the bucket. Cairn makes none.",
  };
}

function noCredentials(): Meaning {
  return {
    code: "permission_denied",
    says: "no credentials were found",
    hint:
      "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE for a profile of ~/.aws, or give this machine a role. " +
      "They are never part of the URI.",
  };
}

function meaningOfSystemError(error: unknown, location: S3Location): Meaning | null {
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  const where = location.endpoint ?? `AWS (region ${location.region ?? "not given"})`;
  if (UNREACHABLE.includes(code)) {
    return {
      code: "connection_failed",
      says: `${where} cannot be reached`,
      retryable: true,
      hint: 'Check "endpoint" in the URI, this machine\'s network, and whether the storage runs.',
    };
  }
  if (BROKEN.includes(code)) return { ...busy, says: "the connection broke off" };
  if (failureName(error) === "TimeoutError")
    return { ...busy, code: "stalled", says: "the storage did not answer in time" };
  if (/^(ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|EPROTO)/.test(code)) {
    return {
      code: "connection_failed",
      says: `no trusted connection with ${where}`,
      hint: "Check https or http in the endpoint; for a certificate of your own authority, name it in NODE_EXTRA_CA_CERTS.",
    };
  }
  return null;
}

function meaningOfStatus(status: number): Meaning | null {
  if (status === 404) return { code: "not_found" };
  if (status === 401 || status === 403) return denied;
  if (status === 412) return MEANINGS["PreconditionFailed"]!;
  if (status === 416) return MEANINGS["InvalidRange"]!;
  if (status === 301 || status === 307) return wrongRegion;
  if (status === 507) return full;
  if (status === 501) return MEANINGS["NotImplemented"]!;
  if (status === 408 || status === 429 || status >= 500) return busy;
  return null;
}

function meaningOfText(error: unknown): Meaning {
  // The client's own words for "Region is missing".
  if (/region is missing/i.test(messageOf(error)))
    return { code: "usage", says: "no region is known", hint: REGION_HINT };
  if (/(aborted|socket hang up|premature close)/i.test(messageOf(error)))
    return { ...busy, says: "the connection broke off" };
  return { code: "storage_failed" };
}

/** The server's words, short, on one line. */
function wordsOf(error: unknown): string {
  const status = failureStatus(error);
  // OpenSSL's errors begin with a thread's number and end with a place in its sources.
  const text = messageOf(error)
    .replace(/[0-9A-F]{8,}:error:/, "")
    .replace(/:[^: ]*\.c:\d+:\s*$/, "")
    .slice(0, TEXT_LENGTH_MAX);
  const name = failureName(error);
  const words =
    text === "" || text === "UnknownError" || text === name ? name : name === "" ? text : `${name}: ${text}`;
  if (words !== "") return words;
  return status === 0 ? "it failed without a reason" : `the storage answered with HTTP status ${status}`;
}
