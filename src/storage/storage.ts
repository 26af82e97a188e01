// The small interface behind which every storage stands. Names are relative paths with "/" between parts, each part
// of [A-Za-z0-9._-], not beginning with a dot. Objects are written once and never changed.

/** What a storage knows of an object. */
export interface StoredObject {
  readonly name: string;
  readonly sizeBytes: number;
  /** In listings, where they tell: differs when another object stands under the name. */
  readonly version?: string;
}

/** What the writer knows of the bytes it wrote; a storage confirms all of it that it can. */
export interface WrittenContent {
  readonly sizeBytes: number;
  readonly sha256: Uint8Array;
}

/** An unfinished piece of an earlier or present write. `isDead` is true only when its writer is known to be gone. */
export interface Leftover {
  readonly name: string;
  readonly sizeBytes: number;
  readonly isDead: boolean;
}

/** An object being written. Nothing is visible under its name before finish() returns. */
export interface ObjectWriter extends AsyncDisposable {
  /** Takes the bytes (the caller may not reuse the buffer). Resolves when more may be written: this is the back-pressure. */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * Makes the object durable under its name and returns what the storage then says of it. With `expected`, the storage
   * compares the size always and the checksum where it computes one itself (a file system does not); different: "corrupt".
   */
  finish(expected?: WrittenContent): Promise<StoredObject>;
  /** Drops what was written. Disposing an unfinished writer does the same. */
  abort(): Promise<void>;
}

export interface PutOptions {
  readonly signal?: AbortSignal;
  /**
   * Refuse with OperatingError "repository_exists" where an object of that name is there already. A write that fails then
   * takes away what it may have left. One without it may have replaced another, and takes away nothing.
   */
  readonly ifAbsent?: boolean;
  /** For trials: "storage_failed" where the storage drops what it needs to tell one writer's object from another's. */
  readonly needsMark?: boolean;
}

/** A byte range of an object. */
export interface ByteRange {
  readonly offset: number;
  readonly lengthBytes: number;
}

/**
 * All calls throw OperatingError: "not_found", "no_space", "permission_denied", "connection_failed" (nobody answers),
 * "stalled", "storage_failed"; a given signal's reason when it is aborted.
 */
export interface Storage extends AsyncDisposable {
  /** For messages: where this is, without secrets. */
  readonly description: string;
  /** Requests that were sent again so far; left out where nothing ever is. */
  readonly retryCount?: number;
  /** True where reading goes over no network; left out: it may. */
  readonly isLocal?: boolean;
  /** True where the provider is known to charge for what is read over the internet; left out: it is not. */
  readonly isReadingCharged?: boolean;
  openWriter(name: string, options?: PutOptions): Promise<ObjectWriter>;
  /** Writes a small object whole and durably. */
  put(name: string, bytes: Uint8Array, options?: PutOptions): Promise<StoredObject>;
  /** Exactly the range asked for; fewer bytes there is an error ("corrupt"). Without a range, the whole object. */
  read(name: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array>;
  /** Null when it is not there. */
  head(name: string, signal?: AbortSignal): Promise<StoredObject | null>;
  /** Objects whose names begin with the prefix, in name order. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<StoredObject>;
  /** Missing objects are no error. */
  delete(name: string, signal?: AbortSignal): Promise<void>;
  /** Unfinished writes that lie about, by any process; they are no objects and no list() shows them. */
  leftovers(signal?: AbortSignal): AsyncIterable<Leftover>;
  /** Removes a left-over by the name that leftovers() gave. Missing ones are no error. */
  deleteLeftover(name: string, signal?: AbortSignal): Promise<void>;
  /** Bytes free for writing, or null where the storage cannot tell. */
  freeSpaceBytes(): Promise<number | null>;
}
