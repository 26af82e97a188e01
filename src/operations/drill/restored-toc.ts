// The table of contents of the restored database, written by the same pg_dump as the archive's, with the same flags; or why
// there is none. A pg_dump of another version words definitions otherwise, so it is no judge.

import type { Toc } from "../../archive/index.ts";
import {
  availablePgDumps,
  openDump,
  parseSelectionFlags,
  toArguments,
  type AvailablePgDump,
  type SelectionFlag,
} from "../../dump/index.ts";
import { assert } from "../../base/assert.ts";
import { OperatingError } from "../../base/errors.ts";
import { formatVersion, openSession } from "../../postgres/index.ts";
import type { Manifest } from "../../repository/index.ts";
import type { OperationContext } from "../operation.ts";
import type { DrillPlace } from "./place.ts";

/** Flags that choose nothing: of one run on one server. */
const OF_ONE_RUN = new Set(["snapshot", "role", "lock-wait-timeout", "serializable-deferrable"]);

export interface RestoredToc {
  readonly toc: Toc;
  readonly pgDump: AvailablePgDump;
}

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

/** The pg_dump that wrote the archive, of the same version; null when it is not here. Throws "usage" for another one asked for. */
export async function findSamePgDump(
  context: OperationContext,
  manifest: Manifest,
  request: string | null,
): Promise<AvailablePgDump | null> {
  const { pgDumpPath, pgDumpVersion } = manifest.tool;
  const found = await availablePgDumps(request, context.environment);
  const same = found.filter(({ version }) => formatVersion(version) === pgDumpVersion);
  if (request !== null && same.length === 0) {
    const versions = found.map(({ version }) => formatVersion(version)).join(", ");
    throw new OperatingError(
      "usage",
      `--pg-dump is of version ${versions}, the archive was written by ${pgDumpVersion}`,
      {
        detail: "Another version words definitions otherwise, so that it is no judge of them.",
        hint: "Leave --pg-dump out: everything else is compared then.",
      },
    );
  }
  const wanted = pgDumpPath === null ? "bundled" : "installed";
  return same.find(({ kind }) => kind === wanted) ?? same[0] ?? null;
}

/** Has pg_dump write the table of contents of the restored database. */
export async function readRestoredToc(
  context: OperationContext,
  place: DrillPlace,
  pgDump: AvailablePgDump,
  flags: readonly SelectionFlag[],
): Promise<RestoredToc> {
  const { environment, signal } = context;
  await using session = await openSession(place.target, { signal, applicationName: "cairn drill" });
  const serverEncoding = session.connection.parameters.get("server_encoding");
  assert(serverEncoding !== undefined, "the server reports its encoding");
  await using dump = await openDump({
    settings: place.target,
    server: place.version,
    serverEncoding,
    pgDump,
    arguments: toArguments(flags),
    environment,
    signal,
  });
  return { toc: dump.toc, pgDump };
}
