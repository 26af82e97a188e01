// An authenticated connection to the first server of a list that can be reached and is what target_session_attrs asks
// for. Once a server has answered, what it says counts: a refused password or a failed TLS handshake ends the search, as
// in libpq. Source: PostgreSQL manual, "Specifying Multiple Hosts"; libpq's PQconnectPoll.

import { assert } from "../base/assert.ts";
import { OperatingError } from "../base/errors.ts";
import { connectToHost, NextHost } from "./connect-host.ts";
import type { AuthenticatedConnection, ConnectOptions } from "./connect-host.ts";
import { noServerServes } from "./connection-errors.ts";
import { describeServer, eachHost } from "./connection-settings.ts";
import type { ConnectionSettings, TargetSessionAttributes } from "./connection-settings.ts";
import { shuffle } from "./shuffle.ts";

/**
 * Connects and logs in. A database whose text the server cannot turn into UTF-8 (MULE_INTERNAL) is met without any
 * conversion, unless an encoding was asked for; the connection's settings say so. Throws OperatingError
 * "connection_failed", or the signal's reason.
 */
export async function connectAuthenticated(
  settings: ConnectionSettings,
  options: ConnectOptions = {},
): Promise<AuthenticatedConnection> {
  const hosts = [...eachHost(settings)];
  if (settings.balancesLoad) shuffle(hosts);
  const failures: HostFailure[] = [];
  for (const wanted of passesOf(settings.targetSessionAttributes, hosts.length)) {
    for (const host of hosts) {
      try {
        return await connectToHost(host, wanted, options);
      } catch (error) {
        if (!(error instanceof NextHost)) throw withEarlierFailures(error, failures);
        failures.push({ server: describeServer(host), failure: error.failure });
      }
    }
  }
  assert(failures[0] !== undefined, "each attempt that does not connect leaves its failure");
  throw hosts.length === 1 ? failures[0].failure : noServerServes(settings, failures.map(sentenceOf));
}

interface HostFailure {
  readonly server: string;
  readonly failure: OperatingError;
}

// prefer-standby looks at all for a standby, and then takes whatever is there.
function passesOf(wanted: TargetSessionAttributes, hostCount: number): readonly TargetSessionAttributes[] {
  if (wanted !== "prefer-standby") return [wanted];
  return hostCount === 1 ? ["any"] : ["standby", "any"];
}

function sentenceOf({ server, failure }: HostFailure): string {
  return `${server}: ${reasonOf(failure)}`;
}

// What follows the description of the connection in the message.
function reasonOf(failure: OperatingError): string {
  return /^could not connect to database .*? as ".*?": (.*)$/s.exec(failure.message)?.[1] ?? failure.message;
}

function withEarlierFailures(error: unknown, failures: readonly HostFailure[]): unknown {
  if (failures.length === 0 || !(error instanceof OperatingError)) return error;
  const earlier = `Before it: ${failures.map(sentenceOf).join("; ")}.`;
  return new OperatingError(error.code, error.message, {
    detail: error.detail === undefined ? earlier : `${error.detail} ${earlier}`,
    hint: error.hint,
    retryable: error.retryable,
    cause: error,
    sqlState: error.sqlState,
  });
}
