// A restore point as archive contents: what restore and export read.

import {
  memorySource,
  readToc,
  type ArchiveContents,
  type DataPiece,
  type LargeObjectPiece,
  type StoredFrame,
  type Toc,
  type TocEntry,
} from "../archive/index.ts";
import { OperatingError } from "../base/errors.ts";
import type {
  ChunkReference,
  LargeObjectRecord,
  OwnLargeObject,
  RestorePoint,
  UnsealedChunk,
} from "../repository/index.ts";

/** A large object of a restore point. */
interface LargeObject extends LargeObjectPiece {
  readonly lengthBytes: number;
  /** Its chunks as they are stored; null when it shares one with others. */
  readonly readChunks: ((signal?: AbortSignal) => AsyncIterable<UnsealedChunk>) | null;
}

export class RestorePointContents implements ArchiveContents {
  readonly toc: Toc;
  readonly isSeekable = true;
  readonly restorePoint: RestorePoint;

  private constructor(restorePoint: RestorePoint, toc: Toc) {
    this.restorePoint = restorePoint;
    this.toc = toc;
  }

  /**
   * Reads the table of contents. Throws "usage" for a whole server's restore point, which has none of its own,
   * "archive_unsupported" for a script that import has quarantined, and
   * "archive_invalid", which only a defect of ours can cause.
   */
  static async open(restorePoint: RestorePoint): Promise<RestorePointContents> {
    if (restorePoint.manifest.cluster !== undefined) throw wholeServer(restorePoint);
    if (isQuarantined(restorePoint)) throw quarantined(restorePoint);
    const { toc } = await readToc(memorySource(restorePoint.toc));
    return new RestorePointContents(restorePoint, toc);
  }

  /** Raw bytes by dump id, for planning. */
  get sizes(): ReadonlyMap<number, number> {
    const { relations, largeObjects } = this.restorePoint.manifest;
    return new Map([...relations, ...largeObjects].map(({ dumpId, rawBytes }) => [dumpId, rawBytes]));
  }

  async *tableData(entry: TocEntry, signal?: AbortSignal): AsyncIterable<DataPiece> {
    for await (const chunk of this.#chunksOfTable(entry, signal)) yield this.#piece(chunk);
  }

  /** The data of a TABLE DATA entry as it is stored, neighbours read together. */
  tableChunks(entry: TocEntry, signal?: AbortSignal): AsyncIterable<UnsealedChunk> {
    return this.restorePoint.readChunks(this.#chunksOfTable(entry, signal), signal);
  }

  async *#chunksOfTable(entry: TocEntry, signal: AbortSignal | undefined): AsyncIterable<ChunkReference> {
    const relation = this.restorePoint.findRelation({ dumpId: entry.dumpId });
    if (relation === null) throw missing(entry);
    let rowCount = 0;
    for await (const segment of this.restorePoint.segments(relation, signal)) {
      rowCount += segment.rowCount;
      yield* segment.chunks;
    }
    if (rowCount !== relation.rowCount) throw missing(entry, `${rowCount} of ${relation.rowCount} rows`);
  }

  async *largeObjects(entry: TocEntry, signal?: AbortSignal): AsyncIterable<LargeObject> {
    const set = this.restorePoint.manifest.largeObjects.find(({ dumpId }) => dumpId === entry.dumpId);
    if (set === undefined) throw missing(entry);
    let open: { readonly record: OwnLargeObject; readonly chunks: ChunkReference[] } | null = null;
    let count = 0;
    for await (const record of this.restorePoint.largeObjects(set, signal)) {
      if (open !== null && record.kind === "own" && record.continuesPrevious === true) {
        open.chunks.push(...record.chunks);
        continue;
      }
      if (open !== null) yield this.#ownObject(open.record, open.chunks);
      count += record.kind === "own" ? 1 : record.objects.length;
      open = record.kind === "own" ? { record, chunks: [...record.chunks] } : null;
      if (record.kind === "shared") yield* this.#sharedObjects(record);
    }
    if (open !== null) yield this.#ownObject(open.record, open.chunks);
    if (count !== set.objectCount) throw missing(entry, `${count} of ${set.objectCount} large objects`);
  }

  #piece(chunk: ChunkReference): DataPiece {
    return {
      rawLengthBytes: chunk.rawLengthBytes,
      rowCount: chunk.rowCount,
      continues: chunk.continues,
      load: (signal) => this.restorePoint.loadChunk(chunk, signal),
      loadFrame: async (signal): Promise<StoredFrame> => {
        const { bytes, encoding } = await this.restorePoint.readChunk(chunk, signal);
        return { encoding, bytes };
      },
    };
  }

  #ownObject(record: OwnLargeObject, chunks: readonly ChunkReference[]): LargeObject {
    const { restorePoint } = this;
    return {
      oid: record.oid,
      lengthBytes: record.lengthBytes,
      read: async function* (signal) {
        for (const chunk of chunks) yield await restorePoint.loadChunk(chunk, signal);
      },
      readChunks: (signal) => restorePoint.readChunks(chunks, signal),
    };
  }

  *#sharedObjects(record: LargeObjectRecord & { kind: "shared" }): Iterable<LargeObject> {
    const { restorePoint } = this;
    let loaded: Promise<Uint8Array> | null = null;
    let offset = 0;
    for (const { oid, lengthBytes } of record.objects) {
      const start = offset;
      offset += lengthBytes;
      yield {
        oid,
        lengthBytes,
        read: async function* (signal) {
          loaded ??= restorePoint.loadChunk(record.chunk, signal);
          const text = await loaded;
          if (lengthBytes > 0) yield text.subarray(start, start + lengthBytes);
        },
        readChunks: null,
      };
    }
  }
}

/** True for a script of plain SQL, which is kept and never executed. */
export function isQuarantined({ manifest }: Pick<RestorePoint, "manifest">): boolean {
  return manifest.options["quarantined"] !== undefined;
}

function quarantined({ id }: RestorePoint): OperatingError {
  return new OperatingError("archive_unsupported", `restore point ${id} is a script of plain SQL, in quarantine`, {
    detail: "Such a script may hold commands of psql that run programs on this machine; Cairn never executes one.",
    hint: "Write it into a file with export --format plain, read it, and feed it to psql yourself, as a role without privileges.",
  });
}

/** `found`: what there is of it. */
function missing(entry: TocEntry, found = "no data"): OperatingError {
  return new OperatingError("corrupt", `the restore point has ${found} for ${entry.description} "${entry.tag}"`, {
    hint: "Verify the restore point, and restore from another one meanwhile.",
  });
}

function wholeServer({ id }: RestorePoint): OperatingError {
  return new OperatingError("usage", `restore point ${id} is of a whole server, and has no contents of its own`, {
    hint: `Restore it with --cluster; "cairn show ${id}" lists the restore points of its databases.`,
  });
}
