// Backups that read only what changed, on a server with WAL summaries: nothing changed, 1 % appended, 1 % updated at random.
// The data is rewritten and read first: else rows are added to holes in old pages, and the first reading marks every page.
// restic, where it is installed, keeps the plain dumps of the same states.

import { rm } from "node:fs/promises";

import type { Bench } from "../bench.ts";
import { appendedRows, ChangingDatabase, updatedRows, type ChangeBackup } from "../changing-database.ts";
import { atMost, type Figure, type StepResult } from "../figure.ts";
import { Restic } from "../restic.ts";
import { manyTables } from "./schema.ts";

const DATABASE = "bench_incremental";

const percent = (part: number, whole: number): number => (part / whole) * 100;
const shown = (part: number, whole: number, unit = "bytes"): string =>
  `${percent(part, whole).toFixed(2)} % (${part} of ${whole} ${unit})`;

export async function incremental(bench: Bench): Promise<StepResult> {
  const subject = await ChangingDatabase.create(bench, DATABASE);
  const restic = await Restic.create(bench);
  const plainDump = ["-d", subject.uri];
  const first = await subject.backup("cairn backup (summaries, first)");
  await restic?.keep(plainDump);
  const firstBytes = subject.sizeBytes;
  const unchanged = await subject.backup("cairn backup (nothing changed)");
  await subject.psql(appendedRows(1, 0));
  const peerFile = bench.path("incremental.dump");
  const peer = await bench.pgDump(["-Fc", "-Z", "zstd:3", "-f", peerFile, ...plainDump], "pg_dump -Fc -Z zstd:3");
  await rm(peerFile);
  const appended = await subject.backup("cairn backup (1 % appended)");
  await subject.psql(updatedRows(1, 0));
  const updated = await subject.backup("cairn backup (1 % updated at random)");
  const kept = await restic?.keep(plainDump);
  await subject.drop();
  await restic?.[Symbol.asyncDispose]();

  const { readRawBytes: readBytes } = appended.receipt.reading;
  const peerSeconds = peer.wallSeconds;
  const limit = Number((0.05 * peerSeconds + 1).toFixed(2));
  const resticShare =
    kept === undefined ? "" : `; restic after both changes: ${percent(kept.grownBytes, kept.beforeBytes).toFixed(0)} %`;
  const figures: Figure[] = [
    atMost("nothing changed, seconds", unchanged.run.wallSeconds, 3, `${unchanged.run.wallSeconds.toFixed(2)} s`),
    atMost(
      "1 % appended, seconds (5 % of pg_dump -Fc -Z zstd:3, and 1)",
      appended.run.wallSeconds,
      limit,
      `${appended.run.wallSeconds.toFixed(2)} s (pg_dump: ${peerSeconds.toFixed(2)} s)`,
    ),
    atMost(
      "1 % appended: bytes read, % of the data",
      percent(readBytes, appended.receipt.rawBytes),
      3,
      shown(readBytes, appended.receipt.rawBytes),
    ),
    atMost(
      "1 % appended: bytes stored, % of the first",
      percent(appended.grownBytes, firstBytes),
      2,
      shown(appended.grownBytes, firstBytes),
    ),
    atMost(
      "1 % updated at random: bytes stored, % of the first",
      percent(updated.grownBytes, firstBytes),
      5,
      `${shown(updated.grownBytes, firstBytes)}${resticShare}`,
    ),
    atMost(
      "1 % updated at random, time : first backup",
      updated.run.wallSeconds / first.run.wallSeconds,
      1.4,
      `${(updated.run.wallSeconds / first.run.wallSeconds).toFixed(2)} ` +
        `(${updated.run.wallSeconds.toFixed(2)} s : ${first.run.wallSeconds.toFixed(2)} s)`,
    ),
    await unchangedTables(bench),
  ];
  const notes = [unchanged, appended, updated].map(describeReading);
  return { figures, runs: [first.run, unchanged.run, peer, appended.run, updated.run], notes };
}

/** What a backup read and why, by table. */
function describeReading({ run, receipt }: ChangeBackup): string {
  const { allReadBecause, explanation, readRawBytes, readSegmentCount, takenOverSegmentCount, waited } =
    receipt.reading;
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;
  const tables = (explanation?.relations ?? []).flatMap(({ name, segmentCount, readRawBytes: bytes, readBecause }) => {
    const reasons = Object.entries(readBecause).map(([reason, count]) => `${count} ${reason}`);
    return reasons.length === 0 ? [] : [`${name} ${megabytes(bytes)} (of ${segmentCount}: ${reasons.join(", ")})`];
  });
  const whole = `${readSegmentCount} of ${readSegmentCount + takenOverSegmentCount} segments read`;
  const parts = [
    `${run.label}: ${whole}, ${megabytes(readRawBytes)}; waited ${waited.beforeReadingMs} ms for WAL summaries`,
    ...(allReadBecause === null ? tables : [allReadBecause]),
  ];
  return parts.join("; ");
}

/** 10,000 tables in which nothing changed. */
async function unchangedTables(bench: Bench): Promise<Figure> {
  const uri = await manyTables(bench);
  const repository = await bench.newRepository("tables");
  const words = ["backup", uri, "--repo", repository, "--checkpoint", "now"];
  await bench.cairn(words, "cairn backup of 10,000 tables (first)");
  const run = await bench.cairn(words, "cairn backup of 10,000 tables (nothing changed)");
  const file = bench.path("tables.dump");
  const peer = await bench.pgDump(["-s", "-Fc", "-f", file, "-d", uri], "pg_dump -s -Fc");
  await Promise.all([rm(file), rm(repository, { recursive: true })]);
  const limit = Number((2.5 * peer.wallSeconds + 1).toFixed(2));
  const text = `${run.wallSeconds.toFixed(2)} s (pg_dump -s -Fc: ${peer.wallSeconds.toFixed(2)} s)`;
  return atMost("10,000 tables, nothing changed, seconds", run.wallSeconds, limit, text);
}
