// A server in miniature, for the rules alone: transactions that write rows into blocks, WAL with asynchronous commits, checkpoints,
// WAL summaries, snapshots, crashes that lose what was not flushed and give xids out again. A row is a number of its own;
// a block's text under a snapshot is the rows that the snapshot sees. The real servers are in tests/incremental/.

import type { CheckpointRecord, WalSummary } from "../types.ts";

export const BLOCK_COUNT = 8;

interface WalRecord {
  readonly lsn: bigint;
  readonly xid: bigint;
  /** Null: the commit. */
  readonly block: number | null;
  readonly row: number;
}

export interface Snapshot {
  readonly xmin: bigint;
  readonly xmax: bigint;
  readonly running: ReadonlySet<bigint>;
  readonly committed: ReadonlySet<bigint>;
}

interface State {
  readonly lsn: bigint;
  readonly flushedLsn: bigint;
  readonly summarizedLsn: bigint;
  readonly nextXid: bigint;
  readonly running: ReadonlyMap<number, bigint>;
  readonly committed: ReadonlySet<bigint>;
  readonly wal: readonly WalRecord[];
  readonly control: CheckpointRecord;
  readonly summaries: readonly WalSummary[];
}

const START: State = {
  lsn: 1000n,
  flushedLsn: 1000n,
  summarizedLsn: 1000n,
  nextXid: 700n,
  running: new Map(),
  committed: new Set(),
  wal: [],
  control: { timeline: 1, redoLsn: 1000n, nextXid: 700n },
  summaries: [],
};

export class ModelServer {
  #state = START;
  /** Never goes back, so that two histories have their boundaries at different LSNs, as on a real server. */
  #stepCount = 0;
  #rowCount = 0;

  get lsn(): bigint {
    return this.#state.lsn;
  }

  get control(): CheckpointRecord {
    return this.#state.control;
  }

  get summaries(): readonly WalSummary[] {
    return this.#state.summaries;
  }

  /** The transaction of a slot writes a row into a block; it begins with its first one. */
  write(slot: number, block: number): void {
    const xid = this.#state.running.get(slot) ?? this.#state.nextXid;
    if (!this.#state.running.has(slot)) {
      this.#change({ nextXid: xid + 1n, running: new Map([...this.#state.running, [slot, xid]]) });
    }
    this.#rowCount += 1;
    this.#log(xid, block);
  }

  /** Ends the transaction of a slot. An asynchronous commit is visible at once and durable later. */
  end(slot: number, how: "commit" | "commit asynchronously" | "abort"): void {
    const xid = this.#state.running.get(slot);
    if (xid === undefined) return;
    const running = new Map(this.#state.running);
    running.delete(slot);
    if (how !== "abort") {
      this.#log(xid, null);
      this.#change({ committed: new Set([...this.#state.committed, xid]) });
    }
    this.#change({ running, ...(how === "commit" && { flushedLsn: this.#state.lsn }) });
  }

  /** A checkpoint during which a transaction may begin: its redo point is fixed first, nextXid read afterwards. */
  checkpoint(during: { readonly slot: number; readonly block: number } | null): void {
    this.#advance();
    const redoLsn = this.#state.lsn;
    if (during !== null) this.write(during.slot, during.block);
    const control = { timeline: 1, redoLsn, nextXid: this.#state.nextXid };
    this.#advance();
    const { lsn, summaries, summarizedLsn } = this.#state;
    const summary = { timeline: 1, startLsn: summarizedLsn, endLsn: redoLsn };
    this.#change({ control, flushedLsn: lsn, summarizedLsn: redoLsn, summaries: [...summaries, summary] });
  }

  /** WAL that is not flushed is lost, and what was running with it; recovery ends with a checkpoint. */
  crash(): void {
    const { control, flushedLsn } = this.#state;
    const wal = this.#state.wal.filter(({ lsn }) => lsn <= flushedLsn);
    const committed = new Set(wal.filter(({ block }) => block === null).map(({ xid }) => xid));
    let nextXid = control.nextXid;
    for (const { xid } of wal) if (xid >= nextXid) nextXid = xid + 1n;
    this.#change({ lsn: flushedLsn, wal, committed, nextXid, running: new Map() });
    this.checkpoint(null);
  }

  /** WAL that is never summarized, up to now. */
  skipSummary(): void {
    this.#change({ summarizedLsn: this.#state.lsn });
  }

  /** A summary file is removed. */
  removeSummary(index: number): void {
    this.#change({ summaries: this.#state.summaries.toSpliced(index % Math.max(1, this.#state.summaries.length), 1) });
  }

  /** A copy of the data directory, to be put back later. */
  save(): State {
    return this.#state;
  }

  /** The data directory as it was, started again. */
  putBack(state: State): void {
    this.#state = state;
    this.crash();
  }

  snapshot(state = this.#state): Snapshot {
    const running = new Set(state.running.values());
    let xmin = state.nextXid;
    for (const xid of running) if (xid < xmin) xmin = xid;
    return { xmin, xmax: state.nextXid, running, committed: state.committed };
  }

  /** The rows of a block that a snapshot sees. */
  rows(block: number, { xmax, running, committed }: Snapshot, { wal } = this.#state): string {
    const seen = wal.filter((one) => {
      return one.block === block && one.xid < xmax && !running.has(one.xid) && committed.has(one.xid);
    });
    return seen.map(({ row }) => row).join(" ");
  }

  /** Blocks that a summary names. Only of files that the server has. */
  blocksOf({ startLsn, endLsn }: WalSummary): readonly number[] {
    const named = this.#state.wal.filter(({ lsn, block }) => block !== null && lsn > startLsn && lsn <= endLsn);
    return [...new Set(named.map(({ block }) => block!))].toSorted((one, other) => one - other);
  }

  #log(xid: bigint, block: number | null): void {
    this.#advance();
    const { lsn, wal } = this.#state;
    this.#change({ wal: [...wal, { lsn, xid, block, row: this.#rowCount }] });
  }

  #advance(): void {
    this.#stepCount += 1;
    this.#change({ lsn: this.#state.lsn + 8n + BigInt((this.#stepCount * 7919) % 10_007) });
  }

  #change(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change };
  }
}
