// Progress on a fake clock and terminals of several widths.

import { describe, expect, test } from "vitest";
import { MIB } from "../base/units.ts";
import type { OperationEvent, Progress } from "../operations/operation.ts";
import { cellWidth } from "./output/cell-width.ts";
import { sanitizeLine } from "./output/sanitize.ts";
import { logDisplay, quietDisplay, terminalDisplay } from "./progress-display.ts";
import type { ProgressClock, ProgressDisplay, ProgressOutput } from "./progress-display.ts";
import { ProgressState, terminalLines } from "./progress.ts";

const CLEAR_LINES = new RegExp(`${String.fromCharCode(27)}\\[(\\d+)A\\r${String.fromCharCode(27)}\\[J`, "g");

class FakeClock implements ProgressClock {
  time = 0;
  private readonly timers = new Set<{ readonly intervalMs: number; readonly call: () => void; dueMs: number }>();

  nowMs(): number {
    return this.time;
  }

  every(intervalMs: number, call: () => void): () => void {
    const timer = { intervalMs, call, dueMs: this.time + intervalMs };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  advance(durationMs: number): void {
    const endMs = this.time + durationMs;
    for (; this.time < endMs; this.time += 100) {
      for (const timer of this.timers) {
        if (timer.dueMs > this.time) continue;
        timer.dueMs += timer.intervalMs;
        timer.call();
      }
    }
  }
}

class FakeOutput implements ProgressOutput {
  readonly isTerminal = true;
  written = "";
  readonly cells: number;

  constructor(cells = 80) {
    this.cells = cells;
  }

  width(): number {
    return this.cells;
  }

  write(text: string): void {
    this.written += text;
  }

  /** What a terminal would show. */
  screen(): string[] {
    const lines = [""];
    let last = 0;
    const type = (text: string): void => {
      const [first = "", ...more] = text.split("\n");
      lines[lines.length - 1] += first;
      lines.push(...more);
    };
    for (const match of this.written.matchAll(CLEAR_LINES)) {
      type(this.written.slice(last, match.index));
      lines.splice(lines.length - 1 - Number(match[1]));
      lines.push("");
      last = match.index + match[0].length;
    }
    type(this.written.slice(last));
    return lines.slice(0, -1);
  }
}

const phase = (message: string): OperationEvent => ({ type: "phase", phase: "read", message });
const started = (table: string, readerIndex = 0): OperationEvent => ({
  type: "segment-started",
  readerIndex,
  table,
  segmentIndex: 0,
});

function progress(more: Partial<Progress>): OperationEvent {
  const none = { rawBytes: 0, storedBytes: 0, rowCount: 0, fractionDone: null, tablesDone: 0, tablesTotal: 0 };
  return { type: "progress", progress: { ...none, ...more } };
}

/** A read of 10 MiB a second, told twice a second, 200 MiB in all. */
function readFor(seconds: number, display: ProgressDisplay, clock: FakeClock): void {
  for (let step = 0; step <= seconds * 2; step += 1) {
    const rawBytes = step * 5 * MIB;
    const done = {
      rawBytes,
      rowCount: step * 1000,
      fractionDone: rawBytes / (200 * MIB),
      tablesDone: 1,
      tablesTotal: 3,
    };
    display.onEvent(progress(done));
    clock.advance(500);
  }
}

describe("terminalDisplay()", () => {
  test("rewrites its lines in place: phase, how far, what is in work", () => {
    const [clock, output] = [new FakeClock(), new FakeOutput()];
    const display = terminalDisplay(output, clock);
    display.onEvent(phase("reading 3 tables with 2 readers"));
    expect(output.screen()).toEqual(["reading 3 tables with 2 readers"]);
    display.onEvent(started("public.orders", 0));
    display.onEvent(started("public.customers", 1));
    readFor(5, display, clock);
    expect(output.screen()).toEqual([
      "reading 3 tables with 2 readers",
      "  25 %, 50.0 MiB, 15 s left, 10.0 MiB/s, 10,000 rows, 1 of 3 tables",
      "  public.orders and 1 more",
    ]);
    display.close();
    expect(output.screen()).toEqual([]);
    display.onEvent(phase("too late"));
    expect(output.screen()).toEqual([]);
  });

  test("shows notices above its lines, where they stay", () => {
    const [clock, output] = [new FakeClock(), new FakeOutput()];
    const display = terminalDisplay(output, clock);
    display.onEvent(phase("reading"));
    display.onEvent({ type: "notice", notice: { severity: "warning", message: "careful\u001b[2J" } });
    clock.advance(500);
    expect(output.screen()).toEqual(["cairn: warning: careful\\x1b[2J", "reading"]);
    display.close();
    expect(output.screen()).toEqual(["cairn: warning: careful\\x1b[2J"]);
  });

  test("draws at most five times a second", () => {
    const [clock, output] = [new FakeClock(), new FakeOutput()];
    const display = terminalDisplay(output, clock);
    display.onEvent(phase("reading"));
    for (let step = 0; step < 1000; step += 1) {
      display.onEvent(progress({ rawBytes: step }));
      if (step % 10 === 0) clock.advance(100);
    }
    expect(output.written.match(CLEAR_LINES)?.length).toBeLessThanOrEqual(50);
  });
});

describe("terminalLines()", () => {
  test("fit into every width and hold no control character, whatever a table is called", () => {
    const state = new ProgressState();
    state.take(phase("reading 東京\u001b[31m with 2 readers"), 0);
    state.take(started("public.\u001b]0;x\u0007東京東京東京\n🙂🙂🙂", 0), 0);
    state.take(started("b", 1), 0);
    state.take(progress({ rawBytes: 5 * MIB, rowCount: 1_234_567, fractionDone: 0.5, tablesTotal: 2 }), 0);
    for (let width = 1; width < 120; width += 1) {
      for (const line of terminalLines(state, 5000, width)) {
        expect(cellWidth(line)).toBeLessThanOrEqual(Math.max(width, 3));
        expect(line).toBe(sanitizeLine(line));
      }
    }
  });

  test("tell no rate and no time left before they are known, and none of a phase before", () => {
    const state = new ProgressState();
    state.take(phase("reading"), 0);
    state.take(progress({ rawBytes: MIB, fractionDone: 0 }), 0);
    expect(terminalLines(state, 500, 80)[1]).toBe("  0 %, 1.0 MiB");
    state.take(progress({ rawBytes: 11 * MIB, fractionDone: 0.5 }), 10_000);
    expect(state.timeLeftMs(10_000)).toBe(10_000);
    expect(state.rateBytes(10_000)).toBe(MIB);
    expect(state.rateBytes(60_000)).toBeNull();
    state.take(phase("writing the manifest"), 20_000);
    expect(terminalLines(state, 20_000, 80)).toEqual(["writing the manifest"]);
    expect([state.timeLeftMs(20_000), state.rateBytes(20_000)]).toEqual([null, null]);
  });

  test("name tables that were begun and are not done, where no segments are told", () => {
    const state = new ProgressState();
    state.take(phase("restoring"), 0);
    for (const table of ["a", "b", "c"]) state.take({ type: "table-started", table }, 0);
    state.take({ type: "table-done", table: "a", rowCount: 1, rawBytes: 1 }, 0);
    expect(terminalLines(state, 0, 80)).toEqual(["restoring", "  b and 1 more"]);
  });
});

describe("logDisplay()", () => {
  test("writes a line at each phase and every ten seconds", () => {
    const [clock, output] = [new FakeClock(), new FakeOutput()];
    const display = logDisplay(output, clock);
    display.onEvent(phase("reading\u001b[2J"));
    display.onEvent(started("public.orders"));
    readFor(16, display, clock);
    display.onEvent({ type: "notice", notice: { severity: "info", message: "so" } });
    display.close();
    clock.advance(60_000);
    expect(output.written.split("\n")).toEqual([
      "cairn: reading\\x1b[2J",
      expect.stringMatching(/^cairn: 50 %, .* left, .*\/s, .* rows, 1 of 3 tables, at public\.orders$/),
      "cairn: note: so",
      "",
    ]);
  });
});

test("quietDisplay() shows warnings and nothing else", () => {
  const [clock, output] = [new FakeClock(), new FakeOutput()];
  const display = quietDisplay(output);
  display.onEvent(phase("reading"));
  readFor(3, display, clock);
  display.onEvent({ type: "notice", notice: { severity: "info", message: "so" } });
  display.onEvent({ type: "notice", notice: { severity: "warning", message: "careful" } });
  expect(output.written).toBe("cairn: warning: careful\n");
});
