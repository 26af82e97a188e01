// What every operation is given, and what it reports on the way. An operation is a function of a context and its own
// settings; it returns a typed result, throws OperatingError, or throws the signal's reason when it is cancelled.

/** What an operation needs of its caller. */
export interface OperationContext {
  readonly signal: AbortSignal;
  /** The caller's environment: PG* variables, PATH. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly homeDirectory: string;
  /** The operating system's name of the user, libpq's default for the role. */
  readonly userName: string;
  onEvent(event: OperationEvent): void;
}

/** Something that a person should know, with its cure. */
export interface Notice {
  readonly severity: "info" | "warning";
  readonly message: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
}

/** How far an operation is. Totals are null while unknown. */
export interface Progress {
  /** Bytes of plain text (COPY text, large objects) read or loaded so far. */
  readonly rawBytes: number;
  /** Bytes written to or read from the storage so far. */
  readonly storedBytes: number;
  /** Bytes of plain text that were taken over without being read; left out: none. */
  readonly takenOverBytes?: number;
  readonly rowCount: number;
  /** 0 to 1, by blocks or bytes whichever is known; null when nothing is known. */
  readonly fractionDone: number | null;
  readonly tablesDone: number;
  readonly tablesTotal: number;
}

export type OperationEvent =
  /** A new phase begins, e.g. { phase: "read", message: "reading 12 tables with 4 readers" }. */
  | { readonly type: "phase"; readonly phase: string; readonly message: string }
  | { readonly type: "notice"; readonly notice: Notice }
  | { readonly type: "progress"; readonly progress: Progress }
  | { readonly type: "table-started"; readonly table: string }
  | { readonly type: "table-done"; readonly table: string; readonly rowCount: number; readonly rawBytes: number }
  /** A reader takes a segment of a table, or a bucket of large objects (`table` null); `left` are still to be taken. */
  | {
      readonly type: "segment-started";
      readonly readerIndex: number;
      readonly table: string | null;
      readonly segmentIndex: number;
    }
  | {
      readonly type: "segment-done";
      readonly readerIndex: number;
      readonly table: string | null;
      readonly segmentIndex: number;
    };

/** What a repository's storage takes from the caller. */
export interface StorageAccess {
  /** Credentials, regions, endpoints are read from it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Ends the opening of a repository; later calls are given their operation's signal. */
  readonly signal: AbortSignal;
  /** Caps on bandwidth; left out: none. */
  readonly uploadBytesPerSecond?: number | undefined;
  readonly downloadBytesPerSecond?: number | undefined;
  /** Told of each request that is going to be sent again. */
  onRetry(retry: StorageRetry): void;
}

/** A request to a storage that failed and is going to be sent again. */
export interface StorageRetry {
  readonly message: string;
  /** The number of the attempt that failed, from 1. */
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly delayMs: number;
}

/** Where a repository is and how to open it. */
export interface RepositoryAccess {
  /** A path, or a URI that the storages know: file:, s3:, … */
  readonly location: string;
  /** Left out: an empty environment, no caps. */
  readonly storage?: StorageAccess | undefined;
  /** Where what was listed is kept, to list it faster next time; left out: nowhere. */
  readonly cacheFolder?: string | undefined;
  /** Where it is remembered which data key a repository had; null or left out: nowhere. */
  readonly memoryFolder?: string | null | undefined;
  /** The passphrase that the environment or a file gave; null: none. One given for an unencrypted repository is an error. */
  readonly givenPassphrase: string | null;
  /** Reads the identities of age that were given; left out: none were. */
  readonly givenIdentities?: (() => Promise<readonly string[]>) | undefined;
  /** The key of the recovery kit, used when nothing else was given. */
  readonly givenRecoveryKey?: string | undefined;
  /** Asks a person; called only when one is needed and none was given. Throws OperatingError "usage" when nobody is there. */
  askPassphrase(): Promise<string>;
}
