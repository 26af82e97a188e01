// The first steps of everything that reads a source: connection settled, flags parsed, server asked for its version and
// encoding, pg_dump chosen, preflight passed. Nothing long happens before this is done.

import {
  availablePgDumps,
  checkFlagsKnown,
  choosePgDump,
  expandFilterFiles,
  parseSelectionFlags,
  type AvailablePgDump,
  type SelectionFlag,
} from "../../dump/index.ts";
import { assert } from "../../base/assert.ts";
import {
  describeServer,
  formatVersion,
  openSession,
  resolveConnection,
  type ConnectionSettings,
  type ServerPlace,
  type ServerVersion,
} from "../../postgres/index.ts";
import type { OperationContext } from "../operation.ts";
import { warn } from "../events.ts";
import { useOwnEncoding } from "./own-encoding.ts";
import { passPreflight } from "./preflight.ts";

export interface SourceRequest {
  readonly source: string | undefined;
  /** The database, whichever the source names; left out: the source's. */
  readonly database?: string | undefined;
  /** The server that was met before, so that a list of hosts or a name with several addresses leads to the same. */
  readonly server?: ServerPlace | undefined;
  readonly pgDump: string | null;
  readonly selection: readonly string[];
}

/** A source that is ready to be read. */
export interface SettledSource {
  readonly settings: ConnectionSettings;
  /** For receipts: database@host:port, no secrets. */
  readonly description: string;
  readonly server: ServerVersion;
  /** The server's own words, e.g. "18.6 (Debian 18.6-3)". */
  readonly serverVersionText: string;
  readonly serverEncoding: string;
  readonly pgDump: AvailablePgDump;
  readonly flags: readonly SelectionFlag[];
  readonly warnings: readonly string[];
}

/** Settles a source. Throws "usage", "connection_failed", "pg_dump_missing", "preflight_failed" and their kin. */
export async function settleSource(context: OperationContext, request: SourceRequest): Promise<SettledSource> {
  const flags = await expandFilterFiles(parseSelectionFlags(request.selection));
  const { environment, homeDirectory, userName, signal } = context;
  const overrides = { dbname: request.database, ...placeOverrides(request.server) };
  const caller = { environment, homeDirectory, userName };
  const settings = await resolveConnection({ source: request.source, overrides, ...caller });
  const warnings: string[] = [];
  for (const message of settings.warnings) warnings.push(warn(context, { message }));
  const found = availablePgDumps(request.pgDump, environment); // asks each for its version
  found.catch(() => {}); // thrown where it is awaited
  await using session = await openSession(settings, { signal, applicationName: "cairn" });
  const server = session.serverVersion;
  const choice = choosePgDump(server, await found);
  checkFlagsKnown(flags, choice.pgDump.version.major);
  if (choice.warning !== null) warnings.push(warn(context, choice.warning));
  await useOwnEncoding(session);
  warnings.push(...(await passPreflight(context, session, { server, pgDump: choice.pgDump, flags, signal })));
  const { parameters } = session.connection;
  const serverEncoding = parameters.get("server_encoding");
  assert(serverEncoding !== undefined, "the server reports its encoding");
  return {
    settings: session.settings, // all that follows meets this server
    description: `${settings.database}@${describeServer(session.settings)}`,
    server,
    serverVersionText: parameters.get("server_version") ?? formatVersion(server),
    serverEncoding,
    pgDump: choice.pgDump,
    flags,
    warnings,
  };
}

function placeOverrides(server: ServerPlace | undefined): { host?: string; hostaddr?: string | null; port?: string } {
  if (server === undefined) return {};
  return { host: server.host, hostaddr: server.hostAddress, port: String(server.port) };
}
