// Turns what goes wrong while connecting into sentences for a person: what failed, and what to look at next.
// Never holds a password. Source of the SQLSTATEs: PostgreSQL manual, "PostgreSQL Error Codes".

import { messageOf, OperatingError } from "../base/errors.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { describeConnection, describeServer, usesUnixSocket } from "./connection-settings.ts";
import { ServerError } from "./server-error.ts";
import type { ServerMessage } from "./server-error.ts";

interface Cure {
  readonly reason: string;
  readonly hint: string;
}

/** Any failure to connect; `reason` ends the sentence "could not connect to …: ". */
export function connectionFailure(
  settings: ConnectionSettings,
  reason: string,
  options: { hint?: string; detail?: string | undefined; cause?: unknown; retryable?: boolean } = {},
): OperatingError {
  const notes = [options.detail, ...settings.warnings].filter((note) => note !== undefined);
  return new OperatingError("connection_failed", `could not connect to ${describeConnection(settings)}: ${reason}`, {
    ...options,
    detail: notes.length > 0 ? notes.join(" ") : undefined,
  });
}

/** None of several servers: what was wrong with each. */
export function noServerServes(settings: ConnectionSettings, reasons: readonly string[]): OperatingError {
  const count = settings.alternatives.length + 1;
  const reason = `none of the ${count} servers serves`;
  return connectionFailure(settings, reason, {
    detail: reasons.join("\n"),
    hint: "Check that one of them runs, can be reached, and is what target_session_attrs asks for.",
    retryable: true,
  });
}

/** A failure of the network: name, route, port, socket file. */
export function networkFailure(settings: ConnectionSettings, error: unknown): OperatingError {
  const code = errorCodeOf(error);
  const cure = (usesUnixSocket(settings) ? socketCure : tcpCure)(settings, code) ?? {
    reason: messageOf(error),
    hint: "Check host, port and network, and that the server is running.",
  };
  return connectionFailure(settings, cure.reason, {
    hint: cure.hint,
    cause: error,
    retryable: code !== "ENOTFOUND" && code !== "EACCES",
  });
}

/** The time ran out. `step` says what was being waited for. */
export function timeoutFailure(settings: ConnectionSettings, step: string): OperatingError {
  return connectionFailure(settings, `timeout of ${settings.connectTimeoutMs / 1000} s expired while ${step}`, {
    hint:
      "A firewall may be dropping the packets, or the server is overloaded. Check host and port; " +
      "connect_timeout=SECONDS allows more time.",
    retryable: true,
  });
}

/** The peer closed the connection before it said that it was ready. */
export function closedFailure(settings: ConnectionSettings, step: string): OperatingError {
  return connectionFailure(settings, `the server closed the connection while ${step}`, {
    hint: "Look at the server's log. Is this the port of a PostgreSQL server, and does it expect TLS from the first byte?",
    retryable: true,
  });
}

/** The TLS handshake failed or the certificate was not accepted. */
export function tlsFailure(settings: ConnectionSettings, error: unknown): OperatingError {
  const code = errorCodeOf(error) ?? "";
  const { rootCertificateFile, mode } = settings.tls;
  const untrusted = /SELF_SIGNED|UNABLE_TO|CERT_UNTRUSTED|ISSUER/.test(code);
  let hint = "Look at the server's log and at its settings ssl, ssl_min_protocol_version and ssl_cert_file.";
  if (untrusted) {
    hint = `The server's certificate was not issued by a root in ${rootCertificateFile}: give its CA with sslrootcert=FILE.`;
  } else if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    hint = "Connect by a name that stands in the certificate, or use sslmode=verify-ca where the name cannot match.";
  } else if (/EXPIRED|NOT_YET/.test(code)) {
    hint = "Renew the server's certificate, and check the clocks of both machines.";
  }
  return connectionFailure(settings, `TLS failed: ${messageOf(error)}`, {
    hint,
    cause: error,
    detail: `sslmode is ${mode}.`,
  });
}

/** The server refused us with an error of its own. */
export function refusal(settings: ConnectionSettings, message: ServerMessage, isTls: boolean): ServerError {
  const hint = refusalHint(settings, message, isTls);
  const text = `could not connect to ${describeConnection(settings)}: ${message.message}`;
  const details = [message.detail, ...settings.warnings].filter((note) => note !== undefined);
  const detail = details.length > 0 ? details.join(" ") : undefined;
  return new ServerError("connection_failed", { ...message, message: text, detail }, hint);
}

function refusalHint(settings: ConnectionSettings, message: ServerMessage, isTls: boolean): string | undefined {
  const { user, database } = settings;
  switch (message.code) {
    case "28P01":
      return settings.password === null
        ? "Give a password: in the URI, PGPASSWORD, or a password file (~/.pgpass)."
        : `Check user and password; the password came from ${settings.passwordOrigin ?? "the caller"}.`;
    case "28000":
      if (!/pg_hba/.test(message.message)) return `Check that the role "${user}" exists and may log in.`;
      return (
        `Add a line to the server's pg_hba.conf such as: host${isTls ? "ssl" : ""} "${database}" "${user}" ADDRESS/32 ` +
        `scram-sha-256, and reload.${isTls ? "" : " The server may want TLS: try sslmode=require."}`
      );
    case "3D000":
      return `Check the database's name; psql -l lists those of the server.`;
    case "53300":
      return "The server has no free connection slot: use fewer jobs, end idle sessions, or raise max_connections.";
    case "57P03":
      return "The server is starting up, shutting down or recovering: wait and try again.";
    default:
      return message.hint;
  }
}

function tcpCure(settings: ConnectionSettings, code: string | undefined): Cure | undefined {
  const { host, port } = settings;
  switch (code) {
    case "ECONNREFUSED":
      return {
        reason: "connection refused",
        hint: `Is the server running on ${host}, and does it listen on port ${port} of that address (listen_addresses)?`,
      };
    case "ENOTFOUND":
      return { reason: `the host name "${host}" is not known`, hint: "Check the spelling of the host and the DNS." };
    case "EAI_AGAIN":
      return { reason: `the host name "${host}" could not be looked up`, hint: "The DNS does not answer: try again." };
    case "ETIMEDOUT":
      return { reason: "connection timed out", hint: "A firewall may be dropping the packets. Check host and port." };
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return { reason: "no route to the host", hint: "Check the address, the network and the VPN." };
    case "ECONNRESET":
    case "EPIPE":
      return {
        reason: "the server reset the connection",
        hint: "Look at the server's log; a proxy or firewall in between may also have done it.",
      };
    default:
      return undefined;
  }
}

function socketCure(settings: ConnectionSettings, code: string | undefined): Cure | undefined {
  const place = describeServer(settings);
  switch (code) {
    case "ENOENT":
      return {
        reason: `there is no ${place}`,
        hint: "Is the server running on this machine? Name its socket directory or its TCP host with host=…",
      };
    case "ECONNREFUSED":
      return { reason: `nobody listens on ${place}`, hint: "The server was not shut down cleanly: start it again." };
    case "EACCES":
      return {
        reason: `no permission to use ${place}`,
        hint: "Run as a user who may, or connect by TCP: host=localhost.",
      };
    default:
      return undefined;
  }
}

// net's own search over several addresses throws an AggregateError, whose first error says enough.
function errorCodeOf(error: unknown): string | undefined {
  const inner = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
  const code = (inner as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}
