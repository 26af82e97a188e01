// The table of contents of the restored database, written by the same pg_dump as the archive's, with the same flags; or by
// another one, which words some definitions otherwise.

import type { Toc } from "../../archive/index.ts";
import {
  availablePgDumps,
  choosePgDump,
  openDump,
  parseSelectionFlags,
  toArguments,
  type AvailablePgDump,
  type SelectionFlag,
} from "../../dump/index.ts";
import { assert } from "../../base/assert.ts";
import { isOperatingError } from "../../base/errors.ts";
import { formatVersion, openSession, parseVersionText, type ServerVersion } from "../../postgres/index.ts";
import type { Manifest } from "../../repository/index.ts";
import type { OperationContext } from "../operation.ts";
import type { DrillPlace } from "./place.ts";

/** Flags that choose nothing: of one run on one server. */
const OF_ONE_RUN = new Set(["snapshot", "role", "lock-wait-timeout", "serializable-deferrable"]);

/** The flags that pg_dump had. */
export function selectionOf(manifest: Manifest): readonly SelectionFlag[] {
  const selection = manifest.options["selection"];
  if (!Array.isArray(selection)) return [];
  return parseSelectionFlags(selection.map(String)).filter(({ name }) => !OF_ONE_RUN.has(name));
}

/** Session settings besides pg_dump's own that its flags made for the rows. */
export function readSettingsOf(flags: readonly SelectionFlag[]): readonly string[] {
  return flags.flatMap(({ name, value }) => {
    if (name === "extra-float-digits" && /^-?\d+$/.test(value ?? "")) return [`SET extra_float_digits TO ${value}`];
    return name === "quote-all-identifiers" ? ["SET quote_all_identifiers = true"] : [];
  });
}

/** The pg_dump that judges the restored database. */
export interface JudgingPgDump {
  readonly pgDump: AvailablePgDump;
  /** True when it is of the version that wrote the archive. */
  readonly isSame: boolean;
}

/**
 * The pg_dump that wrote the archive, or one of its version; else the one that a backup of such a server would be made
 * with, or that was asked for. Null when none is here that reads such a server.
 */
export async function findJudge(
  context: OperationContext,
  manifest: Manifest,
  request: string | null,
): Promise<JudgingPgDump | null> {
  const { pgDumpPath, pgDumpVersion } = manifest.tool;
  const found = await availablePgDumps(request, context.environment);
  const same = found.filter(({ version }) => formatVersion(version) === pgDumpVersion);
  const wanted = pgDumpPath === null ? "bundled" : "installed";
  const best = same.find(({ kind }) => kind === wanted) ?? same[0];
  if (best !== undefined) return { pgDump: best, isSame: true };
  const server = parseVersionText(manifest.source.serverVersion);
  const { major } = parseVersionText(pgDumpVersion);
  // Of its major if there is one that reads the server: that words nearly everything the same.
  const near = found.filter(({ version }) => version.major === major && major >= server.major);
  try {
    return { pgDump: choosePgDump(server, near.length > 0 ? near : found).pgDump, isSame: false };
  } catch (error) {
    if (request !== null || !isOperatingError(error, "pg_dump_missing")) throw error;
    return null;
  }
}

/** The pg_dump for a server, or the one that was asked for; null when none is here that reads it. */
export async function findJudgeOf(
  context: OperationContext,
  server: ServerVersion,
  request: string | null,
): Promise<JudgingPgDump | null> {
  try {
    const { pgDump } = choosePgDump(server, await availablePgDumps(request, context.environment));
    return { pgDump, isSame: false };
  } catch (error) {
    if (!isOperatingError(error, "pg_dump_missing")) throw error;
    return null;
  }
}

/** Has pg_dump write the table of contents of a database. */
export async function readTocOf(
  context: OperationContext,
  database: Pick<DrillPlace, "target" | "version">,
  pgDump: AvailablePgDump,
  flags: readonly SelectionFlag[],
): Promise<Toc> {
  const { environment, signal } = context;
  const { target: settings, version: server } = database;
  await using session = await openSession(settings, { signal, applicationName: "cairn drill" });
  const serverEncoding = session.connection.parameters.get("server_encoding");
  assert(serverEncoding !== undefined, "the server reports its encoding");
  await using dump = await openDump({
    settings,
    server,
    serverEncoding,
    pgDump,
    arguments: toArguments(flags),
    environment,
    signal,
  });
  return dump.toc;
}
