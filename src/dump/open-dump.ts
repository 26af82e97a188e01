// Opens a dump: contents by pg_dump, the holder with its snapshot exported, what the catalog says of each table, and
// the plan of segments. A table rewritten or renamed between snapshot and lock is noticed here and a new snapshot is taken.

import type { Toc, TocEntry } from "../archive/index.ts";
import { assert } from "../base/assert.ts";
import { OperatingError } from "../base/errors.ts";
import { formatDuration } from "../base/units.ts";
import type { ConnectionSettings, ServerVersion, Session } from "../postgres/index.ts";
import { openSession } from "../postgres/index.ts";
import {
  changedRelations,
  hashFingerprints,
  haveFingerprints,
  readRelationStates,
  type RelationState,
} from "./catalog-facts.ts";
import type { AvailablePgDump } from "./choose-pg-dump.ts";
import { fetchContents, type Contents } from "./contents.ts";
import type { LargeObjectBucket } from "./data-sink.ts";
import { lockRest } from "./lock-rest.ts";
import { HolderWatch, holderStalled } from "./holder-watch.ts";
import { checkNames } from "./name-check.ts";
import {
  planTable,
  SEGMENT_BLOCK_COUNT,
  segmentBlockCountOf,
  type RelationFacts,
  type TablePlan,
} from "./segment-plan.ts";
import { readSnapshotFacts, takeSnapshot, type SnapshotFacts } from "./snapshot-facts.ts";
import { abortsAfter, READ_STALL_MS, StallWatch } from "./stall-watch.ts";
import { planLargeObjects } from "./task-list.ts";

/** New snapshots taken when tables were rewritten or renamed between snapshot and lock. */
const SNAPSHOT_ATTEMPT_COUNT_MAX = 4;

export interface OpenDumpOptions {
  readonly settings: ConnectionSettings;
  readonly server: ServerVersion;
  /** The database's encoding as the server reports it. */
  readonly serverEncoding: string;
  readonly pgDump: AvailablePgDump;
  /** Selection flags for pg_dump. */
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  readonly segmentBlockCount?: number;
  onNotice?(message: string): void;
  /** Called, for each snapshot that is taken, when its session has locked the tables; pg_dump is at work still. */
  onLocked?(holderProcessId: number): void;
}

/** A dump with its snapshot held; disposing it ends the holder's transaction. */
export class Dump implements AsyncDisposable {
  readonly headAndToc: Uint8Array;
  readonly toc: Toc;
  readonly largeObjectBuckets: readonly LargeObjectBucket[];
  readonly snapshot: SnapshotFacts;
  readonly settingStatements: readonly string[];
  readonly pgDumpMessages: string;
  /** Blocks in a segment of a table with nothing beside its heap; no segment has more. */
  readonly segmentBlockCount: number;
  /** Aborts with the reason when the holder is lost: nothing read after that belongs to the snapshot. */
  readonly holderLost: AbortSignal;
  readonly holder: Session;
  readonly #serverMajor: number;
  readonly #names: ReadonlyMap<number, string>;
  readonly #watch: HolderWatch;
  readonly #onLost: (error: unknown) => void;
  #tables: readonly TablePlan[];
  #tablesInDoubt: readonly TablePlan[] = [];
  #isPrepared = false;
  #holderIsBusy = false;

  constructor(
    contents: Contents,
    examined: Omit<Examined, "changed">,
    { lost, options }: { readonly lost: AbortController; readonly options: OpenDumpOptions },
  ) {
    this.segmentBlockCount = options.segmentBlockCount ?? SEGMENT_BLOCK_COUNT;
    this.#serverMajor = options.server.major;
    this.headAndToc = contents.headAndToc;
    this.toc = contents.toc;
    this.#tables = examined.tables;
    this.#names = examined.names;
    this.largeObjectBuckets = planLargeObjects(contents.largeObjectOids);
    this.snapshot = examined.snapshot;
    this.settingStatements = contents.settings;
    this.pgDumpMessages = contents.pgDumpMessages;
    this.holder = contents.holder;
    this.holderLost = lost.signal;
    const ask = (): Promise<unknown> => this.holder.query("SELECT 1");
    this.#onLost = (error) => {
      lost.abort(holderLostError(error));
      this.holder.destroy();
    };
    this.#watch = new HolderWatch(ask, this.#onLost);
  }

  /** In the order of the archive. */
  get tables(): readonly TablePlan[] {
    return this.#tables;
  }

  /** Cuts each table as a former dump cut it, where that is near enough to what it would be; before anything is read. */
  cutLike(formerBlockCountOf: (relation: RelationFacts) => number | null): void {
    this.#tables = this.#tables.map((table) => {
      const { relation } = table;
      const count = segmentBlockCountOf(relation, this.segmentBlockCount, formerBlockCountOf(relation));
      return count === table.segmentBlockCount ? table : planTable(table, this.#serverMajor, count);
    });
  }

  /** Statements that put another session into the holder's snapshot with pg_dump's settings, then ours. */
  readerSetup(): string[] {
    return [...takeSnapshot(this.snapshot.exportedName), ...this.settingStatements, ...READER_SETTINGS];
  }

  /** To be asked when rows were read: throws "source_unstable" when they are of other tables than those planned. */
  async checkNames(signal: AbortSignal): Promise<void> {
    const { exportedName } = this.snapshot;
    const planned = { settings: this.holder.settings, exportedName, tables: this.tables, names: this.#names };
    this.#tablesInDoubt = await checkNames(planned, signal);
  }

  /** After checkNames(): tables whose schemas were altered while they were read, perhaps renamed there and back. */
  get tablesInDoubt(): readonly TablePlan[] {
    return this.#tablesInDoubt;
  }

  get holderIsBusy(): boolean {
    return this.#holderIsBusy;
  }

  /**
   * Lets the holder read with the readers' settings, so that it gives the same text; one call at a time. It is lost when
   * it sends nothing for READ_STALL_MS.
   */
  async useHolder(read: (holder: Session) => Promise<void>): Promise<void> {
    assert(!this.#holderIsBusy, "the holder does one thing at a time");
    this.#holderIsBusy = true;
    const { socket } = this.holder.connection;
    const stallWatch = new StallWatch({
      limitMs: READ_STALL_MS,
      isWaiting: () => !socket.isPaused(), // paused: it is the sink that is awaited
      progress: () => socket.bytesRead,
      onStall: () => this.#onLost(holderStalled(READ_STALL_MS)),
    });
    try {
      await this.#watch.pause(); // a session answers one thing at a time
      if (!this.#isPrepared) for (const statement of READER_SETTINGS) await this.holder.query(statement);
      this.#isPrepared = true;
      await read(this.holder);
    } finally {
      stallWatch.end();
      this.#holderIsBusy = false;
      this.#watch.resume();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch.end();
    await this.holder.close();
  }
}

/** Raised when the readers give other text, or other borders of chunks, for the same blocks. */
export const READER_VERSION = 2;

/** Equal bytes for equal blocks: no parallel plans, no synchronized scans, no time zone of the server. */
const READER_SETTINGS = [
  "SET TimeZone TO 'UTC'",
  "SET bytea_output TO hex",
  "SET max_parallel_workers_per_gather TO 0",
  "SET synchronize_seqscans TO off",
  "SET enable_tidscan TO on",
  "SET enable_seqscan TO off",
  "SET jit TO off",
  "SET application_name TO 'cairn reader'",
];

/** Opens a dump. Throws what pg_dump and the server say, and "source_unstable" when tables keep being rewritten or renamed. */
export async function openDump(options: OpenDumpOptions): Promise<Dump> {
  for (let attempt = 1; ; attempt += 1) {
    const lost = new AbortController();
    const onHolderLost = (error: OperatingError): void => lost.abort(holderLostError(error));
    const contents = await fetchContents({ ...options, onHolderLost });
    try {
      await lockRest(contents, options);
      const result = await examine(contents, options);
      if (result.changed.length === 0) {
        return new Dump(contents, result, { lost, options });
      }
      const names = result.changed
        .slice(0, 5)
        .map(({ namespace, name }) => `"${namespace}"."${name}"`)
        .join(", ");
      if (attempt === SNAPSHOT_ATTEMPT_COUNT_MAX) throw unstable(names);
      options.onNotice?.(`rewritten or renamed between snapshot and lock: ${names}; taking a new snapshot`);
    } catch (error) {
      contents.holder.destroy();
      throw error;
    }
    await contents.holder.close();
  }
}

interface Examined {
  readonly changed: readonly { readonly namespace: string; readonly name: string }[];
  readonly tables: readonly TablePlan[];
  readonly snapshot: SnapshotFacts;
  /** By OID, as the snapshot shows them. */
  readonly names: ReadonlyMap<number, string>;
}

async function examine(contents: Contents, options: OpenDumpOptions): Promise<Examined> {
  const entries = contents.toc.entries.filter((entry) => contents.copyStatements.has(entry.dumpId));
  const oids = entries.map((entry) => entry.catalogId.oid);
  const signal = AbortSignal.any([options.signal, abortsAfter(READ_STALL_MS, catalogStalled())]);
  // On the holder's server, and in its encoding, so that no name is converted. Both are asked at a time.
  await using second = await openSession(contents.holder.settings, { signal, applicationName: "cairn" });
  const [inSnapshot, hashNow] = await Promise.all([
    readRelationStates(contents.holder, oids, { countsBlocks: true, signal }),
    hashFingerprints(second, oids, signal),
  ]);
  const changed = haveFingerprints(inSnapshot, hashNow)
    ? []
    : changedRelations(inSnapshot, await readRelationStates(second, oids, { countsBlocks: false, signal }));
  const snapshot = await readSnapshotFacts(contents.holder, second, signal);
  const tables = changed.length > 0 ? [] : entries.map((entry) => plan(entry, contents, inSnapshot, options));
  const names = new Map([...inSnapshot].map(([oid, state]) => [oid, state.names]));
  return { changed, tables, snapshot, names };
}

function plan(
  entry: TocEntry,
  contents: Contents,
  states: ReadonlyMap<number, RelationState>,
  options: OpenDumpOptions,
): TablePlan {
  const state = states.get(entry.catalogId.oid);
  assert(state !== undefined, "a relation whose state did not change is there");
  const copyStatement = contents.copyStatements.get(entry.dumpId)!;
  const relation = { ...state.facts, namespace: entry.namespace ?? "", name: entry.tag };
  const count = segmentBlockCountOf(relation, options.segmentBlockCount);
  return planTable({ dumpId: entry.dumpId, relation, copyStatement }, options.server.major, count);
}

function unstable(names: string): OperatingError {
  return new OperatingError("source_unstable", `tables were rewritten or renamed between snapshot and lock: ${names}`, {
    detail: `This happened ${SNAPSHOT_ATTEMPT_COUNT_MAX} times in a row; reading them would give no rows, or another table's, and no error.`,
    hint:
      "Something truncates, rewrites or renames these tables or alters their schemas all the time: back up when it " +
      "rests, or leave their rows out with --exclude-table-data.",
  });
}

function catalogStalled(): OperatingError {
  return new OperatingError(
    "stalled",
    `the catalog of the source could not be read in ${formatDuration(READ_STALL_MS)}`,
    {
      hint: "Look at the server's log, and at the network in between.",
      retryable: true,
    },
  );
}

function holderLostError(cause: unknown): OperatingError {
  return new OperatingError("connection_lost", "the session that holds the snapshot was lost", {
    detail: cause instanceof Error ? `${cause.message}.` : undefined,
    hint:
      "On a standby, a recovery conflict does this: set hot_standby_feedback = on or raise " +
      "max_standby_streaming_delay. Else look at the server's log.",
    retryable: true,
    cause,
  });
}
