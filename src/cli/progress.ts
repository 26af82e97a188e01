// How far a run is, as text: events are gathered into a state, and the state is told in lines. Pure; the time is handed
// in. progress-display.ts shows the lines.

import { formatCount, formatDuration, formatSize } from "../base/units.ts";
import type { OperationEvent, Progress } from "../operations/operation.ts";
import { cellWidth, cutToWidth } from "./output/cell-width.ts";
import { sanitizeLine } from "./output/sanitize.ts";

/** The rate is that of the last so many milliseconds. */
const RATE_WINDOW_MS = 10_000;
const SAMPLE_COUNT_MAX = 64;
const SAMPLE_INTERVAL_MS = RATE_WINDOW_MS / (SAMPLE_COUNT_MAX - 1);

/** No time left is told before this much of a phase is done, or within its first seconds: it would jump about. */
const ESTIMATE_FRACTION_MIN = 0.01;
const ESTIMATE_AFTER_MS = 3000;

interface Sample {
  readonly timeMs: number;
  readonly bytes: number;
}

/** What a run has told of itself so far. */
export class ProgressState {
  message = "";
  progress: Progress | null = null;
  private readonly tables = new Set<string>();
  private readonly segments = new Map<number, string>();
  private hasSegments = false;
  private samples: Sample[] = [];
  private firstFraction: { readonly timeMs: number; readonly fraction: number } | null = null;

  /** Takes an event at a time. */
  take(event: OperationEvent, nowMs: number): void {
    switch (event.type) {
      case "phase":
        this.beginPhase(event.message);
        break;
      case "progress":
        this.takeProgress(event.progress, nowMs);
        break;
      case "table-started":
        this.tables.add(event.table);
        break;
      case "table-done":
        this.tables.delete(event.table);
        break;
      case "segment-started":
        this.hasSegments = true;
        if (event.table !== null) this.segments.set(event.readerIndex, event.table);
        break;
      case "segment-done":
        this.segments.delete(event.readerIndex);
        break;
      case "notice":
        break;
    }
  }

  /** Bytes per second of late; null while unknown. */
  rateBytes(nowMs: number): number | null {
    const inWindow = this.samples.filter(({ timeMs }) => timeMs >= nowMs - RATE_WINDOW_MS);
    const [first, last] = [inWindow[0], inWindow.at(-1)];
    if (first === undefined || last === undefined || nowMs - first.timeMs < 1000) return null;
    return ((last.bytes - first.bytes) * 1000) / (nowMs - first.timeMs);
  }

  /** Milliseconds until the phase is done; null while unknown. */
  timeLeftMs(nowMs: number): number | null {
    const fraction = this.progress?.fractionDone ?? null;
    if (fraction === null || this.firstFraction === null) return null;
    const elapsedMs = nowMs - this.firstFraction.timeMs;
    const gained = fraction - this.firstFraction.fraction;
    if (gained < ESTIMATE_FRACTION_MIN || elapsedMs < ESTIMATE_AFTER_MS) return null;
    return (elapsedMs * Math.max(0, 1 - fraction)) / gained;
  }

  /** Tables that are being worked on: those of the segments in work when segments are told, else those begun and not done. */
  tablesInWork(): string[] {
    return [...new Set(this.hasSegments ? this.segments.values() : this.tables)];
  }

  private beginPhase(message: string): void {
    this.message = message;
    this.progress = null;
    this.samples = [];
    this.firstFraction = null;
    this.hasSegments = false;
    this.tables.clear();
    this.segments.clear();
  }

  private takeProgress(progress: Progress, nowMs: number): void {
    this.progress = progress;
    if (progress.fractionDone !== null) this.firstFraction ??= { timeMs: nowMs, fraction: progress.fractionDone };
    const last = this.samples.at(-1);
    if (last !== undefined && nowMs - last.timeMs < SAMPLE_INTERVAL_MS) this.samples.pop();
    this.samples.push({ timeMs: nowMs, bytes: Math.max(progress.rawBytes, progress.storedBytes) });
    if (this.samples.length > SAMPLE_COUNT_MAX) this.samples.shift();
  }
}

/** The parts that tell how far it is, the most telling first. */
function progressParts(state: ProgressState, nowMs: number): string[] {
  const { progress } = state;
  if (progress === null) return [];
  const parts: string[] = [];
  if (progress.fractionDone !== null) parts.push(`${Math.floor(Math.min(1, progress.fractionDone) * 100)} %`);
  const timeLeftMs = state.timeLeftMs(nowMs);
  const rateBytes = state.rateBytes(nowMs);
  parts.push(formatSize(Math.max(progress.rawBytes, progress.storedBytes)));
  if (timeLeftMs !== null) parts.push(`${formatDuration(timeLeftMs)} left`);
  if (rateBytes !== null) parts.push(`${formatSize(rateBytes)}/s`);
  const takenOverBytes = progress.takenOverBytes ?? 0;
  if (takenOverBytes > 0) parts.push(`${formatSize(takenOverBytes)} taken over`);
  if (progress.rowCount > 0) parts.push(`${formatCount(progress.rowCount)} rows`);
  if (progress.tablesTotal > 0) parts.push(`${progress.tablesDone} of ${progress.tablesTotal} tables`);
  return parts;
}

/** As many parts as fit into the width, at least the first. */
function fittingParts(parts: readonly string[], widthMax: number): string {
  let line = "";
  for (const part of parts) {
    const longer = line === "" ? part : `${line}, ${part}`;
    if (line !== "" && cellWidth(longer) > widthMax) break;
    line = longer;
  }
  return cutToWidth(line, widthMax);
}

/** The lines for a terminal: phase, how far, what is in work. Each fits into the width; none can hold a control character. */
export function terminalLines(state: ProgressState, nowMs: number, widthMax: number): string[] {
  if (state.message === "") return [];
  const lines = [cutToWidth(sanitizeLine(state.message), widthMax)];
  const parts = progressParts(state, nowMs);
  if (parts.length > 0) lines.push(`  ${fittingParts(parts, widthMax - 2)}`);
  const tables = state.tablesInWork();
  if (tables.length > 0) {
    const more = tables.length > 1 ? ` and ${tables.length - 1} more` : "";
    const name = cutToWidth(sanitizeLine(tables[0] ?? ""), Math.max(1, widthMax - 2 - more.length));
    lines.push(cutToWidth(`  ${name}${more}`, widthMax));
  }
  return lines;
}

/** One line for a log: how far it is; "" while nothing is known. */
export function logLine(state: ProgressState, nowMs: number): string {
  const parts = progressParts(state, nowMs);
  const [table] = state.tablesInWork();
  return [...parts, ...(table === undefined || parts.length === 0 ? [] : [`at ${sanitizeLine(table)}`])].join(", ");
}
