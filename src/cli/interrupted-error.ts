// The reason with which a signal from outside cancels a run.

import { constants } from "node:os";

/** The signals that cancel a run. */
export type EndingSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** The user, or the system, ended the run. */
export class InterruptedError extends Error {
  /** 128 + the number of the signal, as shells have it: 130 for Ctrl-C, 143 for SIGTERM. */
  readonly exitStatus: number;

  constructor(signalName: EndingSignal) {
    super(signalName === "SIGINT" ? "interrupted" : `interrupted by ${signalName}`);
    this.name = "InterruptedError";
    this.exitStatus = 128 + constants.signals[signalName];
  }
}
