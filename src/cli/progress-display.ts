// Shows progress on standard error: on a terminal, lines that are rewritten in place; else a plain line at each phase and
// every ten seconds, as a log likes it.

import type { Notice, OperationEvent } from "../operations/operation.ts";
import { noticeText } from "./output/messages.ts";
import { sanitizeLine } from "./output/sanitize.ts";
import { ProgressState, logLine, terminalLines } from "./progress.ts";

const REDRAW_INTERVAL_MS = 200;
const LOG_INTERVAL_MS = 10_000;
/** A terminal narrower than this, or one that does not know, is written as this. */
const WIDTH_MIN = 10;

/** Where progress is shown. */
export interface ProgressOutput {
  readonly isTerminal: boolean;
  /** Cells of a line. */
  width(): number;
  write(text: string): void;
}

/** The time, and a call again and again until the returned function is called. */
export interface ProgressClock {
  nowMs(): number;
  every(intervalMs: number, call: () => void): () => void;
}

/** Shows a run. */
export interface ProgressDisplay {
  onEvent(event: OperationEvent): void;
  notify(notice: Notice): void;
  /** Takes the lines away, e.g. while a question is asked; the next event brings them back. */
  clear(): void;
  /** Ends it; the lines of a terminal are taken away. */
  close(): void;
}

/** Shows warnings and nothing else. */
export function quietDisplay(output: ProgressOutput): ProgressDisplay {
  const notify = (notice: Notice): void => {
    if (notice.severity === "warning") output.write(noticeText(notice));
  };
  const onEvent = (event: OperationEvent): void => {
    if (event.type === "notice") notify(event.notice);
  };
  return { onEvent, notify, clear: () => undefined, close: () => undefined };
}

/** A plain line at each phase and every ten seconds. */
export function logDisplay(output: ProgressOutput, clock: ProgressClock): ProgressDisplay {
  const state = new ProgressState();
  const stop = clock.every(LOG_INTERVAL_MS, () => {
    const line = logLine(state, clock.nowMs());
    if (line !== "") output.write(`cairn: ${line}\n`);
  });
  const notify = (notice: Notice): void => output.write(noticeText(notice));
  const onEvent = (event: OperationEvent): void => {
    state.take(event, clock.nowMs());
    if (event.type === "notice") notify(event.notice);
    if (event.type === "phase") output.write(`cairn: ${sanitizeLine(event.message)}\n`);
  };
  return { onEvent, notify, clear: () => undefined, close: stop };
}

/** Lines that are rewritten in place. */
export function terminalDisplay(output: ProgressOutput, clock: ProgressClock): ProgressDisplay {
  const state = new ProgressState();
  let lineCount = 0;
  let isStale = false;
  let isClosed = false;
  const clear = (): void => {
    if (lineCount > 0) output.write(`\u001b[${lineCount}A\r\u001b[J`);
    lineCount = 0;
  };
  const draw = (): void => {
    const lines = terminalLines(state, clock.nowMs(), Math.max(WIDTH_MIN, output.width() - 1));
    const back = lineCount > 0 ? `\u001b[${lineCount}A\r\u001b[J` : "";
    if (lines.length > 0) output.write(`${back}${lines.join("\n")}\n`);
    lineCount = lines.length;
    isStale = false;
  };
  const stop = clock.every(REDRAW_INTERVAL_MS, () => {
    if (isStale) draw();
  });
  const notify = (notice: Notice): void => {
    clear();
    output.write(noticeText(notice));
    isStale = true;
  };
  const onEvent = (event: OperationEvent): void => {
    state.take(event, clock.nowMs());
    if (event.type === "notice") notify(event.notice);
    isStale = true;
    if (event.type === "phase" && !isClosed) draw();
  };
  const close = (): void => {
    isClosed = true;
    stop();
    clear();
  };
  return { onEvent, notify, clear, close };
}
