// WAL summary files: which there are, and a digest of what some of them say of one database, by which a later run knows
// that they are still the same. Source: PostgreSQL manual, "WAL Summarization Information Functions".

import { createHash } from "node:crypto";

import type { Session } from "../../postgres/index.ts";
import { formatLsn } from "../rules/lsn.ts";
import type { WalSummary } from "../types.ts";
import type { Answer } from "./ask.ts";
import { answerOf, ask, textOf } from "./ask.ts";

/** Most summary files of one timeline that are listed; ten days of one each ten seconds are fewer. */
const SUMMARY_COUNT_MAX = 100_000;

/** The summary files of a timeline, ordered by start and end. */
export async function listSummaries(
  session: Session,
  timeline: number,
  signal: AbortSignal,
): Promise<Answer<WalSummary[]>> {
  const query = `
SELECT tli, start_lsn - '0/0'::pg_catalog.pg_lsn, end_lsn - '0/0'::pg_catalog.pg_lsn
  FROM pg_catalog.pg_available_wal_summaries() WHERE tli = ${timeline} ORDER BY start_lsn, end_lsn LIMIT ${SUMMARY_COUNT_MAX + 1}`;
  const answer = await answerOf("the list of WAL summaries", signal, () => ask(session, query, signal));
  if (answer.kind === "unknown") return answer;
  if (answer.value.length > SUMMARY_COUNT_MAX) {
    return { kind: "unknown", reason: `the server has more than ${SUMMARY_COUNT_MAX} WAL summaries` };
  }
  const value = answer.value.map((row) => ({
    timeline: Number(textOf(row, 0)),
    startLsn: BigInt(textOf(row, 1)),
    endLsn: BigInt(textOf(row, 2)),
  }));
  return { kind: "known", value };
}

/** A row source for FROM: the chosen files as `w (tli, s, e)`. */
export function chosenFiles(summaries: readonly WalSummary[]): string {
  const list = (values: readonly string[]): string => `ARRAY[${values.join(",")}]`;
  const timelines = list(summaries.map(({ timeline }) => String(timeline)));
  const starts = list(summaries.map(({ startLsn }) => `'${formatLsn(startLsn)}'`));
  const ends = list(summaries.map(({ endLsn }) => `'${formatLsn(endLsn)}'`));
  return `ROWS FROM (pg_catalog.unnest(${timelines}::bigint[]), pg_catalog.unnest(${starts}::pg_catalog.pg_lsn[]),
             pg_catalog.unnest(${ends}::pg_catalog.pg_lsn[])) AS w (tli, s, e)`;
}

/**
 * SHA-256, hex, of what the files say of a database, one file after the other in the order given. The server adds up a
 * 64-bit hash of each row, so that neither side holds or sorts them.
 */
export async function digestSummaries(
  session: Session,
  summaries: readonly WalSummary[],
  databaseOid: number,
  signal: AbortSignal,
): Promise<Answer<string>> {
  const hash = createHash("sha256");
  if (summaries.length === 0) return { kind: "known", value: hash.digest("hex") };
  const query = `
SELECT w.tli, w.s, w.e, sums.row_count, sums.hash_sum FROM ${chosenFiles(summaries)}
 CROSS JOIN LATERAL (
   SELECT pg_catalog.count(*) AS row_count,
          pg_catalog.sum(pg_catalog.hash_record_extended(
            ROW(c.relfilenode, c.reltablespace, c.relforknumber, c.relblocknumber, c.is_limit_block), 0)) AS hash_sum
     FROM pg_catalog.pg_wal_summary_contents(w.tli, w.s, w.e) AS c
    WHERE c.reldatabase = ${databaseOid}::pg_catalog.oid) AS sums
 ORDER BY w.s, w.e, w.tli`;
  const answer = await answerOf("a WAL summary", signal, () => ask(session, query, signal));
  if (answer.kind === "unknown") return answer;
  for (const row of answer.value) hash.update(`${row.map((value) => value ?? "").join(" ")}\n`);
  return { kind: "known", value: hash.digest("hex") };
}
