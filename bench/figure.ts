// What a step of the benchmark gives: figures with their targets, the runs they come from, and notes.

import type { Measurement } from "./measure.ts";

/** One line of the table. */
export interface Figure {
  readonly name: string;
  readonly target: string;
  readonly measured: string;
  /** Null: for information, without a target. */
  readonly isReached: boolean | null;
}

export interface StepResult {
  readonly figures: readonly Figure[];
  readonly runs: readonly Measurement[];
  /** Lines for the report. */
  readonly notes?: readonly string[];
}

export function atMost(name: string, measured: number, limit: number, text = measured.toFixed(2)): Figure {
  return { name, target: `≤ ${limit}`, measured: text, isReached: measured <= limit };
}
