// Times the phases of a drill and tells of them.

import { beginPhase } from "../events.ts";
import type { OperationContext } from "../operation.ts";

/** The phases so far. A phase ends where the next one begins. */
export class PhaseTimer {
  readonly #context: OperationContext;
  readonly #phases: { readonly name: string; readonly durationMs: number }[] = [];
  #open: { readonly name: string; readonly startedAtMs: number } | null = null;

  constructor(context: OperationContext) {
    this.#context = context;
  }

  /** Begins a phase; with a message it is shown. */
  begin(name: string, message: string | null = null): void {
    this.end();
    if (message !== null) beginPhase(this.#context, name, message);
    this.#open = { name, startedAtMs: performance.now() };
  }

  /** Ends the phase under way. */
  end(): void {
    if (this.#open === null) return;
    const { name, startedAtMs } = this.#open;
    this.#phases.push({ name, durationMs: Math.round(performance.now() - startedAtMs) });
    this.#open = null;
  }

  get phases(): readonly { readonly name: string; readonly durationMs: number }[] {
    return this.#phases;
  }
}
