// What incremental reading knows of a server, of a restore point and of a relation, and what it decides. Data only.
// Words as PostgreSQL has them; LSNs and transaction ids are 64-bit. Source: docs/formats/incremental.md.

/** One row of `pg_control_checkpoint()`. */
export interface CheckpointRecord {
  readonly timeline: number;
  readonly redoLsn: bigint;
  /** 64-bit: epoch and xid. */
  readonly nextXid: bigint;
}

/** A WAL summary file by its name: it covers the WAL from `startLsn` up to `endLsn`. */
export interface WalSummary {
  readonly timeline: number;
  readonly startLsn: bigint;
  readonly endLsn: bigint;
}

/** Which server and history a run reads, and its snapshot. */
export interface ServerPosition {
  /** Decimal. */
  readonly systemIdentifier: string;
  readonly databaseOid: number;
  readonly timeline: number;
  readonly hostRole: "primary" | "standby";
  /** ISO 8601. */
  readonly postmasterStartedAt: string;
  readonly serverVersionNum: number;
  /** Of the snapshot. */
  readonly xmin: bigint;
  readonly xmax: bigint;
  /** An LSN read on another connection after the snapshot existed: insert position, on a standby replay position. */
  readonly snapshotLsn: bigint;
}

/** What shapes the text that COPY gives for the same blocks, beside the relation itself. */
export interface TextShape {
  /** Settings of the reading sessions by name, e.g. `TimeZone`; at least all of TEXT_SETTINGS (rules/text-shape.ts), as SHOW gives them. */
  readonly settings: Readonly<Record<string, string>>;
  /** pg_dump's selection flags. */
  readonly selection: readonly string[];
  readonly segmentBlockCount: number;
  /** Raised when our readers give other text or other chunk borders for the same blocks. */
  readonly readerVersion: number;
}

/** What a restore point records so that the next run may take over from it. In the manifest as `incremental`. */
export interface IncrementalRecord {
  readonly position: ServerPosition;
  readonly text: TextShape;
  /** Checkpoint records that a later run may still need, newest last. */
  readonly checkpoints: readonly CheckpointRecord[];
  /** From where on the WAL has to be known to be untouched; null: none could be named. */
  readonly baseLsn: bigint | null;
  /** End of a summary that was there before the manifest and covers `snapshotLsn`; null: not sealed, so no parent for taking over. */
  readonly sealLsn: bigint | null;
  /** SHA-256, hex, of what the summaries from base to seal say of this database; null where not sealed. */
  readonly summaryDigest: string | null;
  /** How pg_largeobject was stored, blocks counted; null: it was not asked, and a later run reads every large object. */
  readonly largeObjects: RelationShape | null;
  /** Restore points of the lineage since everything was read last; 0: this one read everything. */
  readonly runsSinceFullRead: number;
  /** Why nothing may be taken over from it or its children until a run with --full; null: it may. */
  readonly distrustedBecause: string | null;
}

/** A relation as it was stored and as COPY prints it. In the manifest as `storage` of the relation. */
export interface RelationShape {
  readonly oid: number;
  /** Never 0: the database's own tablespace is named. */
  readonly tablespaceOid: number;
  readonly filenode: number;
  /** pg_class.relpersistence */
  readonly persistence: string;
  readonly accessMethod: string | null;
  readonly blockCount: number;
  /** SHA-256, hex, of what the columns that COPY lists are. */
  readonly columnFingerprint: string;
  /** SHA-256, hex, of every type reachable from these columns. */
  readonly typeFingerprint: string;
  /** Why it is read whatever the WAL says (a reg* type, a foreign type, unlogged, …); null: nothing speaks against taking over. */
  readonly alwaysReadBecause: string | null;
  /** False when columns, types or file changed while it was read. */
  readonly isStable: boolean;
}

/** Blocks of one file that WAL summaries name. */
export interface TouchedFile {
  readonly tablespaceOid: number;
  /** 0: a whole database in that tablespace. */
  readonly filenode: number;
  /** Lowest limit block: it and everything after it counts as touched; null: none. */
  readonly limitBlock: number | null;
  /** Touched segments (block number divided by the segment's block count), ascending. */
  readonly segmentIndexes: readonly number[];
}

/** May anything be taken over from this parent? If so, what has to be asked of which summaries. */
export type RunVerdict =
  | { readonly kind: "read-all"; readonly reason: string }
  | {
      readonly kind: "compare";
      /** Changes in this range of the WAL count. */
      readonly fromLsn: bigint;
      readonly toLsn: bigint;
      /** The files that cover it without a gap. */
      readonly summaries: readonly WalSummary[];
      /** The files between the parent's base and seal, whose digest must be the parent's. */
      readonly sealedSummaries: readonly WalSummary[];
    };

/** Which segments of a relation must be read, and why. Indexes count from 0 in units of `segmentBlockCount`. */
export type RelationVerdict =
  | { readonly kind: "read-all"; readonly reason: string }
  | { readonly kind: "take-over"; readonly readSegments: ReadonlyMap<number, string> };

/** Must large objects be read, all of them, and why? */
export type LargeObjectVerdict =
  | { readonly kind: "read-all"; readonly reason: string }
  | { readonly kind: "take-over" };
