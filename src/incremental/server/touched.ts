// What the WAL touched: the rows of the chosen summary files, brought to segments and then to one row for each file by
// the server, so that no single block crosses the wire (docs/formats/incremental.md).

import type { Session } from "../../postgres/index.ts";
import type { TouchedFile, WalSummary } from "../types.ts";
import type { Answer, Rows } from "./ask.ts";
import { answerOf, ask, oidArray, textOf } from "./ask.ts";
import { chosenFiles } from "./summaries.ts";

/** Most touched segments that are brought here, limit blocks counted too: some 50 MiB. Beyond, everything is read. */
export const TOUCHED_SEGMENT_COUNT_MAX = 2_000_000;

/** A file whose segments have another count of blocks. */
export interface FinerFile {
  readonly tablespaceOid: number;
  readonly filenode: number;
  readonly segmentBlockCount: number;
}

export interface TouchedOptions {
  readonly databaseOid: number;
  readonly segmentBlockCount: number;
  /** Those that `segmentBlockCount` is not true of. */
  readonly finer?: readonly FinerFile[];
  /** For tests. */
  readonly segmentCountMax?: number;
  readonly signal: AbortSignal;
}

/**
 * The files of a database that the summaries name, main forks only, by tablespace and filenode. An error of one file
 * (gone, damaged) makes the whole unknown.
 */
export async function readTouched(
  session: Session,
  summaries: readonly WalSummary[],
  options: TouchedOptions,
): Promise<Answer<TouchedFile[]>> {
  if (summaries.length === 0) return { kind: "known", value: [] };
  const countMax = options.segmentCountMax ?? TOUCHED_SEGMENT_COUNT_MAX;
  const query = touchedQuery(summaries, options, countMax);
  const answer = await answerOf("a WAL summary", options.signal, () => ask(session, query, options.signal));
  if (answer.kind === "unknown") return answer;
  const isHead = (row: Rows[number]): boolean => row[0] === null;
  const count = Number(textOf(answer.value.find(isHead)!, 4));
  if (count > countMax) {
    return { kind: "unknown", reason: `too much was touched to be listed (${count} segments, at most ${countMax})` };
  }
  return { kind: "known", value: answer.value.filter((row) => !isHead(row)).map(toTouchedFile) };
}

// A row without a tablespace holds the count; the others come only when it is within the limit.
function touchedQuery(summaries: readonly WalSummary[], options: TouchedOptions, countMax: number): string {
  return `
WITH touched AS MATERIALIZED (
  SELECT c.reltablespace, c.relfilenode, c.is_limit_block,
         c.relblocknumber / coalesce(finer.block_count, ${options.segmentBlockCount}) AS segment,
         pg_catalog.min(c.relblocknumber) AS first_block
    FROM ${chosenFiles(summaries)} CROSS JOIN LATERAL pg_catalog.pg_wal_summary_contents(w.tli, w.s, w.e) AS c
    LEFT JOIN ${finerFiles(options.finer ?? [])} ON finer.tablespace = c.reltablespace AND finer.filenode = c.relfilenode
   WHERE c.reldatabase = ${options.databaseOid}::pg_catalog.oid AND c.relforknumber = 0
   GROUP BY 1, 2, 3, 4),
total AS MATERIALIZED (SELECT pg_catalog.count(*) AS count FROM touched)
SELECT NULL::pg_catalog.oid, NULL::pg_catalog.oid, NULL::bigint, NULL::pg_catalog.text, count FROM total
UNION ALL
(SELECT t.reltablespace, t.relfilenode, pg_catalog.min(t.first_block) FILTER (WHERE t.is_limit_block),
        pg_catalog.string_agg(t.segment::pg_catalog.text, ',' ORDER BY t.segment) FILTER (WHERE NOT t.is_limit_block), 0
   FROM touched AS t WHERE (SELECT count FROM total) <= ${countMax} GROUP BY 1, 2)`;
}

/** A row source for FROM. */
function finerFiles(files: readonly FinerFile[]): string {
  const tablespaces = oidArray(files.map(({ tablespaceOid }) => tablespaceOid));
  const filenodes = oidArray(files.map(({ filenode }) => filenode));
  const counts = files.map(({ segmentBlockCount }) => segmentBlockCount).join(",");
  return `ROWS FROM (pg_catalog.unnest(${tablespaces}), pg_catalog.unnest(${filenodes}),
             pg_catalog.unnest(ARRAY[${counts}]::bigint[])) AS finer (tablespace, filenode, block_count)`;
}

function toTouchedFile(row: Rows[number]): TouchedFile {
  return {
    tablespaceOid: Number(textOf(row, 0)),
    filenode: Number(textOf(row, 1)),
    limitBlock: row[2] === null || row[2] === undefined ? null : Number(row[2]),
    segmentIndexes: parseIndexes(row[3] ?? ""),
  };
}

/** Numbers with commas between them, without a string for each. */
function parseIndexes(text: string): number[] {
  const indexes: number[] = [];
  let value = 0;
  for (let position = 0; position < text.length; position += 1) {
    const digit = text.charCodeAt(position) - 48;
    if (digit >= 0) {
      value = value * 10 + digit;
    } else {
      indexes.push(value);
      value = 0;
    }
  }
  if (text !== "") indexes.push(value);
  return indexes;
}
