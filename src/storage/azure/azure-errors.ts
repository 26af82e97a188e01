// What Azure, its client and the network say, as our errors: code, a sentence, the cure, whether sending again can help. Of the
// service's own words only the first line is repeated: with a refused signature it gives back what was signed.
// Source: Azure Storage REST API, "Blob Storage error codes", "Common REST API error codes".

import { messageOf, OperatingError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";
import type { AzureLocation } from "./azure-location.ts";

const TEXT_LENGTH_MAX = 300;
/** Azure refuses requests whose time is further off than this. */
const CLOCK_DIFFERENCE_MS_MAX = 14 * 60_000;
/** The service's wish to be left alone is heard up to this. */
const WAIT_MS_MAX = 60_000;

/** A failure as it is told. */
interface Meaning {
  readonly code: ErrorCode;
  readonly hint?: string;
  readonly retryable?: boolean;
  /** In place of the service's own words. */
  readonly says?: string;
}

const KEYS_HINT =
  "Check the credentials: whether they belong to this account, and have been neither renewed nor revoked (docs/operating/off-site.md).";
const EXPIRED_HINT =
  "Get a new shared access signature. For runs that last longer than it does, use an identity or the account's key.";
const RIGHTS_HINT = 'Run "cairn storage test" with this URI: it names the rights that are missing.';
const SERVER_HINT = "The service is at fault or overloaded. Look at its state, then run the command again.";
const IDENTITY_HINT =
  "Set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET; give this machine " +
  'an identity; or run "az login". Credentials are never part of the URI.';

const busy: Meaning = { code: "storage_failed", hint: SERVER_HINT, retryable: true };
const denied: Meaning = { code: "permission_denied", hint: RIGHTS_HINT };
const wrongKeys: Meaning = { code: "permission_denied", hint: KEYS_HINT, says: "the credentials were refused" };
const isThere: Meaning = { code: "repository_exists", says: "it is there already" };
const endsBefore: Meaning = { code: "corrupt", says: "it ends before the range that was asked for" };
const full: Meaning = {
  code: "no_space",
  hint: "Raise the account's limit. What was there before is untouched.",
};
const isGone: Meaning = { code: "not_found" };
const kept = (says: string): Meaning => ({
  code: "permission_denied",
  says,
  hint: "It goes when the account's retention, hold, lease or snapshots let it go.",
});

const MEANINGS = new Map<string, Meaning>(
  Object.entries({
    BlobNotFound: isGone,
    // Of accounts and containers, also of those that the credentials may not see.
    ResourceNotFound: {
      code: "storage_failed",
      says: "there is no such account or container, or it may not be seen",
      hint: KEYS_HINT,
    },
    BlobAlreadyExists: isThere,
    InvalidRange: endsBefore,
    InvalidBlockList: {
      code: "storage_failed",
      says: "the storage no longer knows what was uploaded",
      hint: "Somebody removed it, or wrote the same name at the same time. Run the command again.",
    },
    InvalidBlobOrBlock: {
      code: "storage_failed",
      says: "blocks that another program has begun to upload lie under its name",
      hint: "Azure drops them a week after the last one came.",
    },
    BlobArchived: { code: "storage_failed", says: "it lies in the archive tier and must be rehydrated first" },
    BlobBeingRehydrated: { code: "storage_failed", says: "it is being fetched from the archive tier" },
    AuthenticationFailed: wrongKeys,
    InvalidAuthenticationInfo: wrongKeys,
    NoAuthenticationInformation: wrongKeys,
    AuthorizationFailure: {
      ...wrongKeys,
      says: "the credentials were refused, or the account's network rules keep this machine out",
    },
    AuthorizationPermissionMismatch: denied,
    AuthorizationServiceMismatch: denied,
    AuthorizationResourceTypeMismatch: denied,
    AuthorizationProtocolMismatch: denied,
    AuthorizationSourceIPMismatch: denied,
    InsufficientAccountPermissions: denied,
    KeyBasedAuthenticationNotPermitted: {
      code: "permission_denied",
      says: "the account takes no keys",
      hint: "Use an identity in place of AZURE_STORAGE_KEY.",
    },
    PublicAccessNotPermitted: wrongKeys,
    AccountIsDisabled: { code: "permission_denied", says: "the account is disabled" },
    BlobImmutableDueToPolicy: kept("a retention policy or a legal hold keeps it as it is"),
    SnapshotsPresent: kept("it has snapshots"),
    LeaseIdMissing: kept("it is leased"),
    ContainerBeingDeleted: { code: "storage_failed", says: "the container is being deleted" },
    ContainerDisabled: { code: "storage_failed", says: "the container is disabled" },
    // Damaged on the way, not at rest: what is sent again is right.
    Md5Mismatch: busy,
    ServerBusy: busy,
    InternalError: busy,
    OperationTimedOut: busy,
    IncompleteBody: busy,
    BlockCountExceedsLimit: {
      code: "storage_failed",
      hint: "Unfinished uploads of the same name hold too many blocks. Azure drops them a week after the last one.",
    },
    AccountQuotaExceeded: full,
    // The client's own: the answer broke off while it was read.
    PARSE_ERROR: { ...busy, says: "the answer cannot be read" },
    REQUEST_SEND_ERROR: { ...busy, says: "the connection broke off" },
  } satisfies Record<string, Meaning>),
);

const UNREACHABLE = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "EHOSTDOWN"];
const BROKEN = ["ECONNRESET", "EPIPE", "ECONNABORTED", "ERR_STREAM_PREMATURE_CLOSE", "HPE_INVALID_CONSTANT"];
const IDENTITY_ERRORS = new Map([
  ["CredentialUnavailableError", "no credentials were found"],
  ["AggregateAuthenticationError", "no credentials were found"],
  ["AuthenticationError", "the identity was refused"],
  ["AuthenticationRequiredError", "the identity could not log in"],
]);

/** Whose failure: what was being done, where, with credentials that end when. */
export interface FailurePlace {
  /** `could not read "packs/…"`. */
  readonly action: string;
  readonly location: AzureLocation;
  /** When the shared access signature ends; null without one. */
  readonly expiresAtMs: number | null;
}

/** What the client's errors have. */
interface ClientError {
  readonly name?: string;
  readonly code?: string;
  readonly statusCode?: number;
  readonly details?: { readonly errorCode?: string; readonly date?: string; readonly "retry-after"?: string };
}

/** An OperatingError for anything that a request threw. It has no cause: the client's errors hold requests and what was signed. */
export function azureError(error: unknown, place: FailurePlace): OperatingError {
  if (error instanceof OperatingError) return error;
  const { code, hint, retryable = false, says } = meaningOf(error, place);
  const detail = says === undefined ? undefined : `The reason given: ${wordsOf(error).replace(/\.$/, "")}.`;
  return new OperatingError(code, `${place.action}: ${says ?? wordsOf(error)}`, { detail, hint, retryable });
}

/** The service's name for a failure, "" when it gave none. */
export function failureName(error: unknown): string {
  const { code, details } = partsOf(error);
  return details?.errorCode ?? (typeof code === "string" ? code : "");
}

/** The HTTP status of the answer; 0 when there was none. */
export function failureStatus(error: unknown): number {
  return partsOf(error).statusCode ?? 0;
}

/** How long the service asked to be left alone; 0 where it did not. */
export function askedWaitMs(error: unknown): number {
  const seconds = Number(partsOf(error).details?.["retry-after"] ?? 0);
  return seconds > 0 ? Math.min(seconds * 1000, WAIT_MS_MAX) : 0;
}

function partsOf(error: unknown): ClientError {
  return typeof error === "object" && error !== null ? error : {};
}

function meaningOf(error: unknown, place: FailurePlace): Meaning {
  const name = failureName(error);
  if (name === "ContainerNotFound") return missingContainer(place.location);
  const meaning = MEANINGS.get(name) ?? meaningOfIdentity(error) ?? meaningOfSystemError(error, place.location);
  if (meaning === wrongKeys || name === "AuthorizationFailure") return refusedFor(error, place) ?? meaning ?? wrongKeys;
  return meaning ?? meaningOfStatus(failureStatus(error)) ?? meaningOfText(error);
}

/** Why credentials were refused, where that can be seen from here. */
function refusedFor(error: unknown, { expiresAtMs }: FailurePlace): Meaning | null {
  const saidMs = Date.parse(partsOf(error).details?.date ?? "");
  const serverMs = Number.isNaN(saidMs) ? Date.now() : saidMs;
  if (expiresAtMs !== null && expiresAtMs <= serverMs) {
    return { code: "permission_denied", says: "the shared access signature has expired", hint: EXPIRED_HINT };
  }
  if (Math.abs(serverMs - Date.now()) < CLOCK_DIFFERENCE_MS_MAX) return null;
  return {
    code: "permission_denied",
    says: "the credentials were refused, as this machine's clock is not that of the storage",
    hint: "Set this machine's clock right.",
  };
}

function missingContainer({ container, endpoint }: AzureLocation): Meaning {
  return {
    code: "storage_failed",
    says: `there is no container "${container}" at ${endpoint}`,
    hint: "Check the names of container and account in the URI; or make the container. Cairn makes none.",
  };
}

function meaningOfIdentity(error: unknown): Meaning | null {
  const says = IDENTITY_ERRORS.get(partsOf(error).name ?? "");
  return says === undefined ? null : { code: "permission_denied", says, hint: IDENTITY_HINT };
}

function meaningOfSystemError(error: unknown, { endpoint }: AzureLocation): Meaning | null {
  const code = failureName(error);
  if (UNREACHABLE.includes(code)) {
    return {
      code: "connection_failed",
      says: `${endpoint} cannot be reached`,
      retryable: true,
      hint: 'Check "account" and "endpoint" in the URI, and this machine\'s network.',
    };
  }
  if (BROKEN.includes(code)) return { ...busy, says: "the connection broke off" };
  if (/^(ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|EPROTO)/.test(code)) {
    return {
      code: "connection_failed",
      says: `no trusted connection with ${endpoint}`,
      hint: "Check https or http in the endpoint; for a certificate of your own authority, name it in NODE_EXTRA_CA_CERTS.",
    };
  }
  return null;
}

function meaningOfStatus(status: number): Meaning | null {
  if (status === 401 || status === 403) return denied;
  if (status === 416) return endsBefore;
  if (status === 507) return full;
  if (status === 408 || status === 429 || (status >= 500 && status !== 501)) return busy;
  // Not the service's own, or it would name what is missing.
  if (status === 404) {
    return {
      code: "storage_failed",
      says: "the answer is not one of Azure Blob Storage",
      hint: 'Check "endpoint" in the URI.',
    };
  }
  return null;
}

function meaningOfText(error: unknown): Meaning {
  if (/(aborted|socket hang up|premature close|other side closed)/i.test(messageOf(error))) {
    return { ...busy, says: "the connection broke off" };
  }
  // Azurite has no name of its own for it.
  if (/contentMD5 doesn't match/.test(messageOf(error))) return busy;
  return { code: "storage_failed" };
}

/** The service's words, short, on one line, without what may be a signature. */
function wordsOf(error: unknown): string {
  const status = failureStatus(error);
  const name = failureName(error);
  const [first = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
  const text = first
    .trim()
    .slice(0, TEXT_LENGTH_MAX)
    .replaceAll(/(sig(?:nature)?=)[^&\s'"]*/gi, "$1…");
  const words = text === "" || text === name || text.startsWith("<") ? name : name === "" ? text : `${name}: ${text}`;
  if (words !== "") return words;
  return status === 0 ? "it failed without a reason" : `the storage answered with HTTP status ${status}`;
}
