// What both pg_dump hosts give: one run of pg_dump -Fc through a relay.

/** An archive without table data is this large at most; pg_dump needs about 3 KiB a table. */
export const ARCHIVE_SIZE_BYTES_MAX = 1024 * 1024 * 1024;

/** pg_dump's stderr kept for messages. */
export const STDERR_SIZE_BYTES_MAX = 64 * 1024;

export interface PgDumpRun {
  /** The custom-format archive as pg_dump wrote it, with empty data blocks. */
  readonly archive: Uint8Array;
  /** Warnings on success, the reason on failure. */
  readonly stderr: string;
  readonly exitCode: number;
}
