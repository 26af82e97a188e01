// Notices that something awaited does not move any more. The limits are long, since a scan over dead rows, a policy or a
// sort may rightly be silent for a while; waits for a lock are not limited here (pg_dump's --lock-wait-timeout does).

const LOOK_INTERVAL_MS = 60_000;

/** A reader's server, or the holder's while it reads, that sends nothing for so long. */
export const READ_STALL_MS = 60 * 60_000;

/** What is watched. */
export interface Watched {
  /** Silence of so long is a stall. */
  readonly limitMs: number;
  /** True while something is awaited. */
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
      } else if (nowMs - movedAtMs >= watched.limitMs) {
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

/** A signal that aborts with the reason after a time; it keeps no process alive. */
export function abortsAfter(limitMs: number, reason: Error): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), limitMs).unref();
  return controller.signal;
}
