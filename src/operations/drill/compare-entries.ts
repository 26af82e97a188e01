// Compares the restored database's table of contents with the archive's, when the pg_dump that wrote it is at hand.

import type { Toc } from "../../archive/index.ts";
import type { SelectionFlag } from "../../dump/index.ts";
import { isOperatingError, messageOf } from "../../base/errors.ts";
import { formatVersion } from "../../postgres/index.ts";
import { compareTocs, databaseNameOf, entryName, withDatabaseName, type Difference } from "../../restore/index.ts";
import type { Drilling, EntriesCompared } from "./drilling.ts";
import { readRestoredToc } from "./restored-toc.ts";

/** Both archives are compared as those of a database of this name, so that its quoting is the same. */
const COMMON_NAME = "the drilled database";

/** Compares entry by entry; says why where that cannot be done. */
export async function compareEntries(drilling: Drilling, flags: readonly SelectionFlag[]): Promise<EntriesCompared> {
  const { context, contents, place, pgDump } = drilling;
  const { manifest } = contents.restorePoint;
  const sourceMajor = Math.floor(manifest.source.serverVersionNum / 10_000);
  if (place.version.major !== sourceMajor) {
    return without(
      `the server is PostgreSQL ${place.version.major}, the source ${sourceMajor}: they word definitions otherwise`,
    );
  }
  const { pgDumpVersion, pgDumpPath } = manifest.tool;
  if (pgDump === null) {
    return without(
      `pg_dump ${pgDumpVersion} (${pgDumpPath ?? "bundled"}), which wrote the archive, is not on this machine`,
    );
  }
  let restored: Toc;
  try {
    ({ toc: restored } = await readRestoredToc(context, place, pgDump, flags));
  } catch (error) {
    context.signal.throwIfAborted();
    if (!isOperatingError(error, "pg_dump_failed")) throw error;
    return failed(messageOf(error));
  }
  const left = new Set([...contents.notCompared, ...place.notCompared].map(({ name }) => name));
  const pgDumpMajor = pgDump.version.major;
  const result = compareTocs(comparable(contents.toc, left), comparable(restored, left), { sourceMajor, pgDumpMajor });
  return {
    ...result,
    notCompared: [],
    pgDump: { version: formatVersion(pgDump.version), path: pgDump.kind === "installed" ? pgDump.path : null },
  };
}

function comparable(toc: Toc, left: ReadonlySet<string>): Toc {
  const kept = { ...toc, entries: toc.entries.filter((entry) => !left.has(entryName(entry))) };
  return databaseNameOf(kept) === null ? kept : withDatabaseName(kept, COMMON_NAME);
}

function without(reason: string): EntriesCompared {
  const notCompared = [{ name: "table of contents", reason }];
  return { comparedCount: null, differences: [], excused: [], notCompared, pgDump: null };
}

/** The restored database cannot be dumped: that is a finding, whatever the reason. */
function failed(reason: string): EntriesCompared {
  const what = `could not be read from the restored database: ${reason}`;
  const differences: Difference[] = [{ kind: "entry", name: "table of contents", what }];
  return { comparedCount: null, differences, excused: [], notCompared: [], pgDump: null };
}
