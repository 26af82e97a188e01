// Who is at work in a repository: each run writes runs/<run id>/<counter> and renews the counter each minute.
// Nothing is rewritten: a renewal is a new object, then the one before is deleted. Source: docs/formats/repository.md §7.

import { hostname } from "node:os";
import { OperatingError } from "../base/errors.ts";
import { processState, thisProcess } from "../storage/index.ts";
import type { ProcessIdentity, Storage } from "../storage/index.ts";
import type { Clock, Random } from "./environment.ts";
import { isId, RUNS_PREFIX } from "./identifiers.ts";
import type { Keyring } from "./keys.ts";
import { openObject, sealObject } from "./sealed-object.ts";

const RENEWAL_MS = 60_000;
/** A run that could not renew for so long gives up, before others may call it dead. */
const RENEWAL_AGE_MS_MAX = 20 * 60_000;
/** A counter that stands still for so long belongs to a dead run. */
export const DEAD_AFTER_MS = 30 * 60_000;

/** What a run says of itself. */
export interface RunRecord {
  readonly runId: string;
  readonly kind: string;
  readonly lineageName: string | null;
  readonly startedAt: string;
  readonly hostName: string;
  readonly process: ProcessIdentity;
}

/** A run as another process sees it. */
export interface SeenRun {
  readonly runId: string;
  /** Null when its record cannot be read (it is being renewed, or damaged). */
  readonly record: RunRecord | null;
  readonly state: "alive" | "dead" | "unknown";
  readonly counter: number;
}

interface Place {
  readonly storage: Storage;
  readonly keyring: Keyring;
  readonly random: Random;
  readonly clock: Clock;
}

function recordName(runId: string, counter: number): string {
  return `${RUNS_PREFIX}${runId}/${String(counter).padStart(8, "0")}`;
}

/** The record of this process's own run, renewed until it ends. */
export class RunBeacon {
  readonly #place: Place;
  readonly #record: RunRecord;
  #counter = 0;
  #renewedAtMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #renewal: Promise<void> = Promise.resolve();

  private constructor(place: Place, record: RunRecord) {
    this.#place = place;
    this.#record = record;
  }

  /** Writes the record; nothing else of a run may be written before. */
  static async start(place: Place, work: Pick<RunRecord, "runId" | "kind" | "lineageName">): Promise<RunBeacon> {
    const startedAt = place.clock.now().toISOString();
    const beacon = new RunBeacon(place, { ...work, startedAt, hostName: hostname(), process: thisProcess() });
    await beacon.#write(0);
    beacon.#timer = setInterval(() => beacon.#renew(), RENEWAL_MS);
    beacon.#timer.unref();
    return beacon;
  }

  /** Throws when the record was not renewed for so long that others may soon take the run for dead. */
  check(): void {
    const ageMs = this.#place.clock.monotonicMs() - this.#renewedAtMs;
    if (ageMs <= RENEWAL_AGE_MS_MAX) return;
    throw new OperatingError(
      "stalled",
      `the run's record could not be renewed for ${Math.round(ageMs / 60_000)} minutes`,
    );
  }

  /** Removes the record. */
  async end(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await this.#renewal;
    await this.#place.storage.delete(recordName(this.#record.runId, this.#counter));
  }

  #renew(): void {
    this.#renewal = this.#renewal
      .then(async () => {
        if (this.#timer === null) return;
        const before = this.#counter;
        await this.#write(before + 1);
        await this.#place.storage.delete(recordName(this.#record.runId, before));
      })
      // Not fatal by itself: the next minute tries again, and check() ends a run that cannot renew.
      .catch(() => undefined);
  }

  async #write(counter: number): Promise<void> {
    const name = recordName(this.#record.runId, counter);
    const bytes = Buffer.from(JSON.stringify(this.#record));
    const object = await sealObject(this.#place, name, [{ kind: "run", encoding: "none", bytes }]);
    await this.#place.storage.put(name, object);
    this.#counter = counter;
    this.#renewedAtMs = this.#place.clock.monotonicMs();
  }
}

/** Watches the runs of a repository. Keep one for as long as counters shall be judged: it remembers them. */
export class RunObserver {
  readonly #place: Place;
  readonly #seen = new Map<string, { counter: number; sinceMs: number }>();

  constructor(place: Place) {
    this.#place = place;
  }

  /** All runs that have a record now. */
  async runs(signal?: AbortSignal): Promise<readonly SeenRun[]> {
    const newest = new Map<string, number>();
    for await (const { name } of this.#place.storage.list(RUNS_PREFIX, signal)) {
      const [runId = "", counter = ""] = name.slice(RUNS_PREFIX.length).split("/");
      if (isId(runId) && /^\d{8}$/.test(counter)) newest.set(runId, Number(counter));
    }
    return await Promise.all([...newest].map(([runId, counter]) => this.#judge(runId, counter, signal)));
  }

  /** Removes all records of a run. */
  async remove(runId: string, signal?: AbortSignal): Promise<void> {
    for await (const { name } of this.#place.storage.list(`${RUNS_PREFIX}${runId}/`, signal)) {
      await this.#place.storage.delete(name, signal);
    }
  }

  async #judge(runId: string, counter: number, signal: AbortSignal | undefined): Promise<SeenRun> {
    const nowMs = this.#place.clock.monotonicMs();
    const before = this.#seen.get(runId);
    const sinceMs = before !== undefined && before.counter === counter ? before.sinceMs : nowMs;
    this.#seen.set(runId, { counter, sinceMs });
    const record = await this.#read(runId, counter, signal);
    const state = record === null ? "unknown" : processState(record.process);
    const isStill = nowMs - sinceMs >= DEAD_AFTER_MS;
    return { runId, record, counter, state: isStill && state !== "alive" ? "dead" : state };
  }

  async #read(runId: string, counter: number, signal: AbortSignal | undefined): Promise<RunRecord | null> {
    const { keyring, storage } = this.#place;
    const name = recordName(runId, counter);
    try {
      const object = openObject(keyring, name, await storage.read(name, undefined, signal));
      const item = object.items[0];
      if (item?.kind !== "run") return null;
      const record = JSON.parse(Buffer.from(await object.load(item)).toString("utf8")) as RunRecord;
      return record.runId === runId ? record : null;
    } catch (error) {
      if (error instanceof OperatingError || error instanceof SyntaxError) return null;
      throw error;
    }
  }
}
