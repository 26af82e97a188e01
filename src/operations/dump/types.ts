// What dump is given and gives.

export interface DumpSettings {
  readonly source: string | undefined;
  /** Path of the archive to be written; "" or a folder is refused. */
  readonly file: string;
  /** Replace a file that is there. */
  readonly overwrite: boolean;
  readonly jobs: number | null;
  /** "1.14" to "1.16"; null: what the pg_dump used writes. */
  readonly archiveVersion: string | null;
  /** "none", "gzip", "gzip:LEVEL", "zstd", "zstd:LEVEL"; null: zstd:3 where the archive version has it, else gzip. */
  readonly compression: string | null;
  readonly pgDump: string | null;
  /** pg_dump's selection flags, as words. */
  readonly selection: readonly string[];
}

/** The receipt: also written beside the archive as FILE.receipt.json. */
export interface DumpReceipt {
  readonly file: string;
  readonly sizeBytes: number;
  /** SHA-256 of the file, hex. */
  readonly sha256: string;
  readonly archiveVersion: string;
  readonly compression: string;
  /** E.g. "pg_restore 17 or later". */
  readonly readableBy: string;
  readonly source: string;
  readonly databaseName: string;
  readonly serverVersion: string;
  readonly pgDump: { readonly version: string; readonly path: string | null };
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly snapshotTakenAt: string;
  readonly durationMs: number;
  readonly entryCount: number;
  readonly tables: readonly { readonly name: string; readonly rowCount: number; readonly rawBytes: number }[];
  readonly rowCount: number;
  readonly rawBytes: number;
  readonly largeObjectCount: number;
  /** What was read back: always everything. */
  readonly readBack: { readonly rowCount: number; readonly rawBytes: number; readonly durationMs: number };
  readonly warnings: readonly string[];
}
