// Notices that something awaited does not move any more: a server that sends nothing for READ_STALL_MS while a statement
// is under way. The limit is long, since a scan over dead rows or a policy may rightly be silent for a while.

const LOOK_INTERVAL_MS = 60_000;
export const READ_STALL_MS = 60 * 60_000;

/** What is watched. */
export interface Watched {
  /** True while something is awaited of the server. */
  isWaiting(): boolean;
  /** Grows while anything moves. */
  progress(): number;
  /** Called once. */
  onStall(): void;
}

export class StallWatch {
  readonly #timer: NodeJS.Timeout;

  constructor(watched: Watched) {
    let progress = watched.progress();
    let movedAtMs = performance.now();
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      const present = watched.progress();
      if (present !== progress || !watched.isWaiting()) {
        progress = present;
        movedAtMs = nowMs;
      } else if (nowMs - movedAtMs >= READ_STALL_MS) {
        this.end();
        watched.onStall();
      }
    }, LOOK_INTERVAL_MS);
    this.#timer.unref();
  }

  end(): void {
    clearInterval(this.#timer);
  }
}
