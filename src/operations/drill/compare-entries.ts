// Compares the restored database's table of contents with the archive's, by the pg_dump that wrote it. Where that program is
// not here, another one judges: what it writes the same is the same. What it writes otherwise is judged by a reference, a
// second database made of the archive's definitions alone: where the restored database is as the reference, only the
// program's wording differs. A reference cannot excuse what is missing, or whose it is.

import { convertToc, type ArchiveVersion, type Toc } from "../../archive/index.ts";
import type { SelectionFlag } from "../../dump/index.ts";
import { isOperatingError, messageOf } from "../../base/errors.ts";
import { formatVersion } from "../../postgres/index.ts";
import {
  compareTocs,
  databaseNameOf,
  entryName,
  withDatabaseName,
  type Difference,
  type WordingReference,
} from "../../restore/index.ts";
import { warn } from "../events.ts";
import type { Drilling, EntriesCompared } from "./drilling.ts";
import { makeReference } from "./reference-database.ts";
import { readTocOf, type JudgingPgDump } from "./restored-toc.ts";

/** All archives are compared as those of a database of this name, so that its quoting is the same. */
const COMMON_NAME = "the drilled database";
/** The last in which each large object has an entry of its own, and no entry its kind of relation. */
const BEFORE_17: ArchiveVersion = "1.15";

/** Compares entry by entry; says why where that cannot be done. */
export async function compareEntries(drilling: Drilling, flags: readonly SelectionFlag[]): Promise<EntriesCompared> {
  const { contents, judge, place } = drilling;
  const { source, tool } = contents.restorePoint.manifest;
  const sourceMajor = Math.floor(source.serverVersionNum / 10_000);
  if (place.version.major !== sourceMajor) {
    return without(
      `the server is PostgreSQL ${place.version.major}, the source ${sourceMajor}: they word definitions otherwise`,
    );
  }
  if (judge === null) {
    const which = `pg_dump ${tool.pgDumpVersion} (${tool.pgDumpPath ?? "bundled"}), which wrote the archive,`;
    return without(`${which} is not on this machine, and no other one that reads PostgreSQL ${sourceMajor}`);
  }
  const restored = await tocOrReason(drilling, judge, flags);
  if (typeof restored === "string") return judge.isSame ? failed(restored) : without(restored);
  return await judgeEntries(drilling, { judge, flags, restored, sourceMajor });
}

interface Judging {
  readonly judge: JudgingPgDump;
  readonly flags: readonly SelectionFlag[];
  readonly restored: Toc;
  readonly sourceMajor: number;
}

async function judgeEntries(drilling: Drilling, judging: Judging): Promise<EntriesCompared> {
  const { contents, place } = drilling;
  const { judge, restored, sourceMajor } = judging;
  const { pgDump } = judge;
  const left = new Set([...contents.notCompared, ...place.notCompared].map(({ name }) => name));
  const versions = { sourceMajor, pgDumpMajor: pgDump.version.major };
  const prepare = (toc: Toc): Toc => {
    return comparable(judge.isSame ? toc : inOldWay(toc), left);
  };
  const compare = (reference: WordingReference | null): ReturnType<typeof compareTocs> => {
    const judged = reference && { ...reference, toc: prepare(reference.toc) };
    return compareTocs(prepare(contents.toc), prepare(restored), versions, judged);
  };
  let result = compare(null);
  if (!judge.isSame && result.differences.length > 0) {
    const reference = await readReference(drilling, judging);
    if (typeof reference === "string") return without(reference);
    result = compare(reference);
  }
  return {
    ...result,
    pgDump: { version: formatVersion(pgDump.version), path: pgDump.kind === "installed" ? pgDump.path : null },
  };
}

/** The reference, or why there is none. */
async function readReference(drilling: Drilling, { judge, flags }: Judging): Promise<WordingReference | string> {
  const { context, contents, place } = drilling;
  const { pgDumpVersion } = contents.restorePoint.manifest.tool;
  const reason = `pg_dump ${formatVersion(judge.pgDump.version)} words it otherwise than ${pgDumpVersion}`;
  try {
    await using reference = await makeReference(drilling);
    const database = { target: reference.target, version: place.version };
    return { toc: await readTocOf(context, database, judge.pgDump, flags), reason };
  } catch (error) {
    context.signal.throwIfAborted();
    if (!isOperatingError(error)) throw error;
    const message = `${reason}, and a database to compare with could not be made: ${messageOf(error)}`;
    warn(context, { message, hint: error.hint });
    return message;
  }
}

async function tocOrReason(
  { context, place }: Drilling,
  { pgDump }: JudgingPgDump,
  flags: readonly SelectionFlag[],
): Promise<Toc | string> {
  try {
    return await readTocOf(context, place, pgDump, flags);
  } catch (error) {
    context.signal.throwIfAborted();
    if (!isOperatingError(error, "pg_dump_failed")) throw error;
    return messageOf(error);
  }
}

function inOldWay(toc: Toc): Toc {
  const old = convertToc(toc, BEFORE_17).toc;
  return { ...old, entries: old.entries.map((entry) => ({ ...entry, relationKind: "" })) };
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
