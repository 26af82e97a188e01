// What WebDAV servers and the network say, as our errors: code, a sentence, the cure, whether sending again can help.
// Sources: RFC 9110 and RFC 4918 (statuses), sabre/dav's error bodies (Nextcloud, ownCloud).

import { messageOf, OperatingError } from "../../base/errors.ts";
import type { ErrorCode } from "../../base/errors.ts";

const REASON_LENGTH_MAX = 200;

/** A failure as it is told. */
interface Meaning {
  readonly code: ErrorCode;
  readonly says: string;
  readonly hint?: string;
  readonly retryable?: boolean;
}

const LOGIN_HINT =
  "Check CAIRN_WEBDAV_USERNAME and CAIRN_WEBDAV_PASSWORD (for Nextcloud an app password), CAIRN_WEBDAV_TOKEN, or ~/.netrc.";
const RIGHTS_HINT = 'Run "cairn storage test" with this URI: it names the rights that are missing.';
const SERVER_HINT = "The server is at fault or overloaded. Look at its state, then run the command again.";
const ADDRESS_HINT = "Check the URI's path: is it a WebDAV folder? Nextcloud's is /remote.php/dav/files/USER/.";

const busy = (says: string): Meaning => ({ code: "storage_failed", says, hint: SERVER_HINT, retryable: true });

const MEANINGS: Readonly<Record<number, Meaning>> = {
  400: { code: "storage_failed", says: "the server does not understand the request", hint: ADDRESS_HINT },
  401: { code: "permission_denied", says: "the server does not take the user's name and password", hint: LOGIN_HINT },
  403: { code: "permission_denied", says: "it is not allowed", hint: RIGHTS_HINT },
  404: { code: "not_found", says: "it is not there" },
  405: { code: "storage_failed", says: "the server does not do this here", hint: ADDRESS_HINT },
  408: busy("the server did not wait for the whole request"),
  409: { code: "storage_failed", says: "the folder it belongs into is not there", retryable: true },
  410: { code: "not_found", says: "it is not there" },
  411: { code: "storage_failed", says: "the server wants to know the length beforehand", retryable: true },
  412: { code: "repository_exists", says: "it is there already" },
  413: {
    code: "storage_failed",
    says: "it is larger than the server takes in one request",
    hint: "Raise the limit of the server or proxy: LimitRequestBody of Apache, client_max_body_size of nginx.",
  },
  416: { code: "corrupt", says: "it ends before the range that was asked for" },
  423: busy("it is locked"),
  425: busy("the server wants it to be sent again"),
  429: busy("the server gets too many requests"),
  501: { code: "storage_failed", says: "the server cannot do this", hint: ADDRESS_HINT },
  507: {
    code: "no_space",
    says: "there is no space left",
    hint: "Raise the user's quota, or make room; a trash bin counts too. What was there before is untouched.",
  },
};

const UNREACHABLE = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "EHOSTDOWN"];
const BROKEN = ["ECONNRESET", "EPIPE", "ECONNABORTED", "ERR_STREAM_PREMATURE_CLOSE"];

/** An answer that is a refusal. */
export interface Refusal {
  readonly status: number;
  /** The beginning of its body. */
  readonly text: string;
  readonly hasCredentials: boolean;
  /** Where a redirect leads. */
  readonly target?: string | undefined;
}

/** An OperatingError for a refusal. */
export function refusalError(action: string, refusal: Refusal): OperatingError {
  const { code, hint, retryable, says } = meaningOf(refusal);
  const reason = reasonIn(refusal.text);
  const detail = `The server answered with HTTP status ${refusal.status}${reason === "" ? "" : `: ${reason}`}.`;
  return new OperatingError(code, `${action}: ${says}`, { detail, hint, retryable: retryable ?? false });
}

/** An OperatingError for what was thrown while a request was sent or its answer read. */
export function exchangeError(error: unknown, action: string, origin: string): OperatingError {
  if (error instanceof OperatingError) return error;
  const { code, hint, retryable, says } = meaningOfSystemError(error, origin);
  return new OperatingError(code, `${action}: ${says}`, { hint, retryable: retryable ?? false, cause: error });
}

function meaningOf({ hasCredentials, status, target }: Refusal): Meaning {
  if (status === 401 && !hasCredentials) {
    return {
      code: "permission_denied",
      says: "the server asks who is there, and no credentials were found",
      hint: "Set CAIRN_WEBDAV_USERNAME and CAIRN_WEBDAV_PASSWORD, or CAIRN_WEBDAV_TOKEN, or name the host in ~/.netrc. They are never part of the URI.",
    };
  }
  if (status >= 300 && status < 400) {
    return {
      code: "storage_failed",
      says: `the server sends us elsewhere${target === undefined ? "" : `, to ${target}`}`,
      hint: "If that address is right, use it in the URI. Cairn does not take its credentials there by itself.",
    };
  }
  const known = MEANINGS[status];
  if (known !== undefined) return known;
  if (status >= 500) return busy("the server failed");
  return { code: "storage_failed", says: "the server refuses it", hint: ADDRESS_HINT };
}

function meaningOfSystemError(error: unknown, origin: string): Meaning {
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  if (UNREACHABLE.includes(code)) {
    return {
      code: "connection_failed",
      says: `${origin} cannot be reached`,
      retryable: true,
      hint: "Check the host and port in the URI, this machine's network, and whether the server runs.",
    };
  }
  if (BROKEN.includes(code)) return busy("the connection broke off");
  if (/^(ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|EPROTO)/.test(code)) {
    return {
      code: "connection_failed",
      says: `no trusted connection with ${origin}`,
      hint: 'A certificate of your own authority is named in NODE_EXTRA_CA_CERTS. A server without TLS needs "?tls=off" in the URI.',
    };
  }
  if (code.startsWith("HPE_")) {
    return { ...busy("the answer is no HTTP"), hint: "Check the port, and whether the server speaks TLS (?tls=off)." };
  }
  return { code: "storage_failed", says: messageOf(error).slice(0, REASON_LENGTH_MAX) };
}

/** The reason that sabre/dav or an HTML page gives, on one line. */
function reasonIn(text: string): string {
  const found =
    /<s:message[^>]*>([^<]*)</.exec(text)?.[1] ?? /<p>([^]*?)<\/?p/i.exec(text)?.[1]?.replace(/<[^>]*>/g, "") ?? "";
  return found
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim()
    .slice(0, REASON_LENGTH_MAX)
    .replace(/\.$/, "");
}
