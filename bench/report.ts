// The figures as a table for the terminal, and as docs/benchmarks.md (pure).

import type { Figure } from "./figure.ts";
import type { Measurement } from "./measure.ts";

const MIB = 1024 * 1024;
/** In docs/benchmarks.md: what stands below it is written by hand, and stays. */
export const BY_HAND_LINE = "<!-- Below: measured by hand, and kept by `npm run bench -- --write`. -->";
const MEMORY_LIMIT_MIB = 400;

export interface Report {
  readonly machine: readonly string[];
  readonly scale: number;
  readonly textBytes: number;
  readonly pairs: number;
  readonly figures: readonly Figure[];
  readonly runs: readonly Measurement[];
  readonly notes: readonly string[];
}

/** The highest memory of each of our commands. */
export function memoryFigures(runs: readonly Measurement[]): Figure[] {
  const peaks = new Map<string, number>();
  for (const { label, peakRssBytes, mainMaxRssBytes } of runs) {
    if (!label.startsWith("cairn ")) continue;
    peaks.set(label, Math.max(peaks.get(label) ?? 0, peakRssBytes, mainMaxRssBytes));
  }
  return [...peaks].map(([label, bytes]) => {
    const mebibytes = bytes / MIB;
    const measured = `${mebibytes.toFixed(0)} MiB`;
    const isReached = mebibytes < MEMORY_LIMIT_MIB;
    return { name: `peak memory of ${label}`, target: `< ${MEMORY_LIMIT_MIB} MiB`, measured, isReached };
  });
}

export function figureRows(figures: readonly Figure[]): string[][] {
  return [
    ["figure", "target", "measured", ""],
    ...figures.map(({ name, target, measured, isReached }) => [
      name,
      target,
      measured,
      isReached === null ? "" : isReached ? "reached" : "MISSED",
    ]),
  ];
}

function runRows(runs: readonly Measurement[]): string[][] {
  return [
    ["run", "wall s", "user s", "system s", "server s", "tree peak MiB", "main peak MiB"],
    ...runs.map((run) => [
      run.label,
      run.wallSeconds.toFixed(2),
      run.cpu.user.toFixed(2),
      run.cpu.system.toFixed(2),
      run.serverCpuSeconds.toFixed(2),
      (run.peakRssBytes / MIB).toFixed(0),
      (run.mainMaxRssBytes / MIB).toFixed(0),
    ]),
  ];
}

/** Rows as aligned text; the first one is the head. */
export function alignedText(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export function terminalText(report: Report): string {
  const parts = [report.machine.join("\n"), alignedText(figureRows(report.figures)), alignedText(runRows(report.runs))];
  return [...parts, report.notes.join("\n")].filter((part) => part !== "").join("\n\n");
}

/** The page; what was written by hand in the page before stays at its end. */
export function benchmarksPage(report: Report, before: string): string {
  const start = before.indexOf(BY_HAND_LINE);
  const kept = start < 0 ? `${BY_HAND_LINE}\n` : before.slice(start);
  return `${markdownText(report)}\n${kept}`;
}

function markdownText(report: Report): string {
  const gigabytes = (report.textBytes / 1e9).toFixed(2);
  return `# Benchmarks

Made by \`npm run bench -- --write\`; \`npm run bench -- --help\` tells how to run parts of it.

${report.machine.map((line) => `- ${line}`).join("\n")}
- data: bench/generate.sql at scale ${report.scale}, ${gigabytes} GB of COPY text; repositories are encrypted

## Figures

Ratios are of wall time, ours to theirs: ${report.pairs} pairs run in turn, the median of the pairs' ratios (lowest to
highest; medians of the times). Each run is a process of its own, and everything written before it was synced.

${markdownTable(figureRows(report.figures))}

The commands of the peers: \`pg_dump -Fc -Z zstd:3 -f FILE\`, \`pg_dump -Fc -f FILE\`, \`pg_restore -j2 -d DATABASE FILE\`,
\`pg_dump -s -Fc -f FILE\`, \`dd bs=1M conv=fsync\`.

## Where the time goes

${report.notes.map((line) => `- ${line}`).join("\n")}

## Raw figures

Processor time is of the whole tree of processes; "server" is that of the server's sessions that ended meanwhile. Memory
is the highest sum of the resident sets of the tree, sampled every 20 ms (pages that processes share are counted
once for each), and the kernel's high-water mark of the main process.

${markdownTable(runRows(report.runs))}
`;
}

function markdownTable([head = [], ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
