// Who is at work in a repository: each run writes runs/<run id>/<counter> and renews the counter each minute.
// Nothing is rewritten: a renewal is a new object, then the one before the last is deleted; so whoever has listed them
// finds one. Source: docs/formats/repository.md §7.

import { hostname } from "node:os";
import { isOperatingError, OperatingError } from "../base/errors.ts";
import { processState, thisProcess } from "../storage/index.ts";
import type { ProcessIdentity, Storage } from "../storage/index.ts";
import type { Clock, Random } from "./environment.ts";
import { isId, RUNS_PREFIX } from "./identifiers.ts";
import type { Keyring } from "./keys.ts";
import { openObject, sealObject } from "./sealed-object.ts";

const RENEWAL_MS = 60_000;
/** A run that could not renew for so long gives up, before others may call it dead. */
const RENEWAL_AGE_MS_MAX = 20 * 60_000;
const RECORDS_KEPT = 2;
/** So often may the newest record be renewed while it is asked for. */
const READS_MAX = 4;
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
  /** Dead runs whose packs it may refer to: they count as its own while it lives. */
  readonly takesOverFrom?: readonly string[];
  /** Its packs `<run id>-0` to `<run id>-<packCount - 1>` were durable when the record was written. */
  readonly packCount?: number;
  /** It ended without a restore point, and left its packs to whoever takes them over; ISO 8601. */
  readonly brokenOffAt?: string;
}

/** A run as another process sees it. */
export interface SeenRun {
  readonly runId: string;
  /** Null when its record cannot be read: it may be a run of any kind. */
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

interface Moment {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

function recordName(runId: string, counter: number): string {
  return `${RUNS_PREFIX}${runId}/${String(counter).padStart(8, "0")}`;
}

/** The record of this process's own run, renewed until it ends. */
export class RunBeacon {
  readonly #place: Place;
  #record: RunRecord;
  /** Of its records that may be there, oldest first. */
  readonly #names: string[] = [];
  #counter = 0;
  #renewedAt: Moment | null = null;
  #gapMsMax = 0;
  #isTakenForDead = false;
  #timer: NodeJS.Timeout | null = null;
  #renewal: Promise<void> = Promise.resolve();

  private constructor(place: Place, record: RunRecord) {
    this.#place = place;
    this.#record = record;
  }

  /** Writes the record; nothing else of a run may be written before. */
  static async start(
    place: Place,
    work: Pick<RunRecord, "runId" | "kind" | "lineageName" | "takesOverFrom">,
  ): Promise<RunBeacon> {
    const startedAt = place.clock.now().toISOString();
    const beacon = new RunBeacon(place, { ...work, startedAt, hostName: hostname(), process: thisProcess() });
    await beacon.#write(0);
    beacon.#timer = setInterval(() => beacon.#renew(), RENEWAL_MS);
    beacon.#timer.unref();
    return beacon;
  }

  /**
   * Throws when the record was ever not renewed for so long that others may have taken the run for dead, also when it is
   * renewed again since: the machine may have slept.
   */
  check(): void {
    if (this.#isTakenForDead) {
      throw new OperatingError("stalled", "the run's record was removed by others, who took it for dead", {
        detail: "The machine may have stood still without its clocks noticing.",
        hint: "Run it again.",
        retryable: true,
      });
    }
    if (!this.isOverdue) return;
    throw new OperatingError(
      "stalled",
      `the run's record was not renewed for ${Math.round(this.#gapMsMax / 60_000)} minutes`,
      { detail: "Others may have taken this run for dead.", hint: "Run it again.", retryable: true },
    );
  }

  /** True when others may have taken the run for dead. */
  get isOverdue(): boolean {
    this.#noteGap();
    return this.#isTakenForDead || this.#gapMsMax > RENEWAL_AGE_MS_MAX;
  }

  /**
   * The same as check(), and looks whether the record is still there: who takes a run for dead removes its newest one
   * before it does anything else, so a machine that was paused is found out also when none of its clocks tells.
   */
  async confirm(signal?: AbortSignal): Promise<void> {
    const looking = this.#renewal.then(async () => await this.#lookForRecord(signal));
    this.#renewal = looking.catch(() => undefined);
    await looking;
    this.check();
  }

  async #lookForRecord(signal?: AbortSignal): Promise<void> {
    const name = recordName(this.#record.runId, this.#counter);
    this.#isTakenForDead ||= (await this.#place.storage.head(name, signal)) === null;
  }

  /** How many of its packs are durable, for the next renewal. */
  notePacks(packCount: number): void {
    this.#record = { ...this.#record, packCount };
  }

  /** Ends the run and leaves its record: others may take over its packs. Throws when that cannot be written. */
  async breakOff(): Promise<void> {
    await this.#stop();
    this.#record = { ...this.#record, brokenOffAt: this.#place.clock.now().toISOString() };
    await this.#write(this.#counter + 1);
    while (this.#names.length > 1) await this.#place.storage.delete(this.#names.shift()!);
  }

  async #stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await this.#renewal;
  }

  /** Removes the record. */
  async end(): Promise<void> {
    await this.#stop();
    for (const name of this.#names) await this.#place.storage.delete(name);
  }

  /** The monotonic clock may stand still while the machine sleeps, the wall clock may be set back: the larger counts. */
  #noteGap(): void {
    if (this.#renewedAt === null) return;
    const now = this.#now();
    const gapMs = Math.max(now.wallMs - this.#renewedAt.wallMs, now.monotonicMs - this.#renewedAt.monotonicMs);
    this.#gapMsMax = Math.max(this.#gapMsMax, gapMs);
  }

  #now(): Moment {
    const { clock } = this.#place;
    return { wallMs: clock.now().getTime(), monotonicMs: clock.monotonicMs() };
  }

  #renew(): void {
    this.#renewal = this.#renewal
      .then(async () => {
        if (this.#timer === null) return;
        // A renewal must not bring back, nor write over, the record of a run that others took for dead.
        await this.#lookForRecord();
        if (this.#isTakenForDead) return;
        await this.#write(this.#counter + 1);
        while (this.#names.length > RECORDS_KEPT) {
          await this.#place.storage.delete(this.#names[0]!);
          this.#names.shift();
        }
      })
      // Not fatal by itself: the next minute tries again, and check() ends a run that cannot renew.
      .catch(() => undefined);
  }

  async #write(counter: number): Promise<void> {
    const name = recordName(this.#record.runId, counter);
    const bytes = Buffer.from(JSON.stringify(this.#record));
    const object = await sealObject(this.#place, name, [{ kind: "run", encoding: "none", bytes }]);
    const begun = this.#now();
    this.#renewedAt ??= begun;
    if (this.#names.at(-1) !== name) this.#names.push(name);
    await this.#place.storage.put(name, object);
    this.#counter = counter;
    this.#noteGap();
    this.#renewedAt = begun;
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
    const newest = await this.#newestCounters(RUNS_PREFIX, signal);
    const seen = await Promise.all([...newest].map(([runId, counter]) => this.#judge(runId, counter, signal)));
    return seen.filter((run) => run !== null);
  }

  /** Removes all records of a run. */
  async remove(runId: string, signal?: AbortSignal): Promise<void> {
    for await (const { name } of this.#place.storage.list(`${RUNS_PREFIX}${runId}/`, signal)) {
      await this.#place.storage.delete(name, signal);
    }
  }

  /** Writes down that a run is dead, so that nobody else has to watch it; for one that wakes up it is overdue anyway. */
  async declareDead({ counter, record, runId }: SeenRun, signal?: AbortSignal): Promise<void> {
    if (record === null || record.brokenOffAt !== undefined) return;
    const brokenOffAt = this.#place.clock.now().toISOString();
    const name = recordName(runId, counter + 1);
    const bytes = Buffer.from(JSON.stringify({ ...record, brokenOffAt } satisfies RunRecord));
    const object = await sealObject(this.#place, name, [{ kind: "run", encoding: "none", bytes }]);
    await this.#place.storage.put(name, object, signal && { signal });
    await this.#place.storage.delete(recordName(runId, counter), signal);
  }

  async #newestCounters(prefix: string, signal: AbortSignal | undefined): Promise<Map<string, number>> {
    const newest = new Map<string, number>();
    for await (const { name } of this.#place.storage.list(prefix, signal)) {
      const [runId = "", counter = ""] = name.slice(RUNS_PREFIX.length).split("/");
      if (!isId(runId) || !/^\d{8}$/.test(counter)) continue;
      newest.set(runId, Math.max(newest.get(runId) ?? 0, Number(counter)));
    }
    return newest;
  }

  /** Null when it has ended since it was listed. */
  async #judge(runId: string, listed: number, signal: AbortSignal | undefined): Promise<SeenRun | null> {
    let counter = listed;
    let record = await this.#read(runId, counter, signal);
    for (let reads = 1; record === "gone" && reads < READS_MAX; reads += 1) {
      const newer = (await this.#newestCounters(`${RUNS_PREFIX}${runId}/`, signal)).get(runId);
      if (newer === undefined) return null;
      counter = newer;
      record = await this.#read(runId, counter, signal);
    }
    return this.#stateOf(runId, counter, record === "gone" ? null : record);
  }

  #stateOf(runId: string, counter: number, record: RunRecord | null): SeenRun {
    const nowMs = this.#place.clock.monotonicMs();
    const before = this.#seen.get(runId);
    const sinceMs = before !== undefined && before.counter === counter ? before.sinceMs : nowMs;
    this.#seen.set(runId, { counter, sinceMs });
    if (record?.brokenOffAt !== undefined) return { runId, record, counter, state: "dead" };
    const state = record === null ? "unknown" : processState(record.process);
    const isStill = nowMs - sinceMs >= DEAD_AFTER_MS;
    return { runId, record, counter, state: isStill && state !== "alive" ? "dead" : state };
  }

  /** Null when it cannot be read. */
  async #read(runId: string, counter: number, signal: AbortSignal | undefined): Promise<RunRecord | "gone" | null> {
    const { keyring, storage } = this.#place;
    const name = recordName(runId, counter);
    try {
      const object = openObject(keyring, name, await storage.read(name, undefined, signal));
      const item = object.items[0];
      if (item?.kind !== "run") return null;
      const record = JSON.parse(Buffer.from(await object.load(item)).toString("utf8")) as RunRecord;
      return record.runId === runId ? record : null;
    } catch (error) {
      if (isOperatingError(error, "not_found")) return "gone";
      if (error instanceof OperatingError || error instanceof SyntaxError) return null;
      throw error;
    }
  }
}
