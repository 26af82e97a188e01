// Compares the restored database's table of contents with the archive's, by the pg_dump that wrote it. Where that program is
// not here, another one judges: what it writes the same is the same. What it writes otherwise is judged by a reference, a
// second database made of the archive's definitions alone: where the restored database is as the reference, only the
// program's wording differs. A reference cannot excuse what is missing, or whose it is. A server of another major words
// definitions otherwise too, whatever reads it: there a text that is only as the reference's counts as not compared.

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
import { findJudgeOf, readTocOf, type JudgingPgDump } from "./restored-toc.ts";

/** All archives are compared as those of a database of this name, so that its quoting is the same. */
const COMMON_NAME = "the drilled database";
/** The last in which each large object has an entry of its own, and no entry its kind of relation. */
const BEFORE_17: ArchiveVersion = "1.15";

/** Compares entry by entry; says why where that cannot be done. */
export async function compareEntries(drilling: Drilling, flags: readonly SelectionFlag[]): Promise<EntriesCompared> {
  const { contents, place } = drilling;
  const { source, tool } = contents.restorePoint.manifest;
  const sourceMajor = Math.floor(source.serverVersionNum / 10_000);
  const isOtherMajor = place.version.major !== sourceMajor;
  const judge = isOtherMajor ? await findJudgeOfOther(drilling) : drilling.judge;
  if (judge === null) {
    const which = `pg_dump ${tool.pgDumpVersion} (${tool.pgDumpPath ?? "bundled"}), which wrote the archive,`;
    const missing = isOtherMajor ? "no pg_dump is here" : `${which} is not on this machine, and no other one`;
    return without(`${missing} that reads PostgreSQL ${place.version.major}`);
  }
  const restored = await tocOrReason(drilling, judge, flags);
  if (typeof restored === "string") return judge.isSame ? failed(restored) : without(restored);
  const reason = isOtherMajor
    ? `PostgreSQL ${place.version.major} words it otherwise than ${sourceMajor}`
    : `pg_dump ${formatVersion(judge.pgDump.version)} words it otherwise than ${tool.pgDumpVersion}`;
  const compared = await judgeEntries(drilling, { judge, flags, restored, reason });
  return isOtherMajor ? withoutTexts(compared, reason) : compared;
}

/** For a server of another major than the source's: the archive's own pg_dump if it reads that server, else one that does. */
async function findJudgeOfOther({ context, judge, place, settings }: Drilling): Promise<JudgingPgDump | null> {
  // Not the same even if it is: the server that it reads is another.
  if (judge !== null && judge.pgDump.version.major >= place.version.major) return { ...judge, isSame: false };
  return await findJudgeOf(context, place.version, settings.pgDump);
}

/** What is only as a database made of the archive's definitions on that server is there, and whose it is; its text is not compared. */
function withoutTexts(compared: EntriesCompared, reason: string): EntriesCompared {
  const isWorded = (one: { readonly reason: string }): boolean => one.reason.startsWith(reason);
  const notCompared = compared.excused
    .filter(isWorded)
    .map(({ name, reason: why }) => ({ name, reason: `its text: ${why}` }));
  return {
    ...compared,
    excused: compared.excused.filter((one) => !isWorded(one)),
    notCompared: [...compared.notCompared, ...notCompared],
  };
}

interface Judging {
  readonly judge: JudgingPgDump;
  readonly flags: readonly SelectionFlag[];
  readonly restored: Toc;
  /** Why texts may differ although the definitions do not. */
  readonly reason: string;
}

async function judgeEntries(drilling: Drilling, judging: Judging): Promise<EntriesCompared> {
  const { contents, place } = drilling;
  const { judge, restored } = judging;
  const { pgDump } = judge;
  const left = new Set([...contents.notCompared, ...place.notCompared].map(({ name }) => name));
  // Of the server that was read: it is the source's, but for a drill on another major.
  const versions = { sourceMajor: place.version.major, pgDumpMajor: pgDump.version.major };
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
async function readReference(
  drilling: Drilling,
  { judge, flags, reason }: Judging,
): Promise<WordingReference | string> {
  const { context, place } = drilling;
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
