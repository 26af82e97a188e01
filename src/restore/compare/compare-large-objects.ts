// Compares large objects one by one: OID, length and a hash of the contents. The hash is SHA-256 over the SHA-256 of each
// MiB, so that neither side holds more than that of one; the server computes its own.

import { createHash, hash } from "node:crypto";
import type { ArchiveContents, LargeObjectPiece } from "../../archive/index.ts";
import { MIB } from "../../base/units.ts";
import type { Session } from "../../postgres/index.ts";
import type { Difference } from "./difference.ts";

const PART_BYTES = MIB;
const OBJECTS_AT_ONCE = 200;
/** Objects that only the restored database has, named at most. */
const EXTRA_NAMED_MAX = 100;
const DEFINITIONS = new Set(["BLOB", "BLOB METADATA"]);
const OIDS_AT_ONCE = 50_000;

interface StoredObject {
  readonly oid: number;
  readonly lengthBytes: number;
  readonly digest: string;
}

export interface LargeObjectComparison {
  readonly comparedCount: number;
  readonly lengthBytes: number;
  readonly differences: readonly Difference[];
}

/** Compares all large objects. Those of an archive with their definitions but without their data are not looked at. */
export async function compareLargeObjects(
  contents: ArchiveContents,
  session: Session,
  signal: AbortSignal,
): Promise<LargeObjectComparison> {
  const differences: Difference[] = [];
  const oids: number[] = [];
  let lengthBytes = 0;
  let batch: StoredObject[] = [];
  const flush = async (): Promise<void> => {
    if (batch.length > 0) differences.push(...(await compareBatch(batch, session, signal)));
    batch = [];
  };
  for (const entry of contents.toc.entries) {
    if (entry.description !== "BLOBS" || !entry.hadDumper) continue;
    for await (const object of contents.largeObjects(entry, signal)) {
      const stored = await digestStored(object, signal);
      oids.push(object.oid);
      lengthBytes += stored.lengthBytes;
      batch.push(stored);
      if (batch.length >= OBJECTS_AT_ONCE) await flush();
    }
  }
  await flush();
  const hasOnlyDefinitions =
    oids.length === 0 && contents.toc.entries.some(({ description }) => DEFINITIONS.has(description));
  if (hasOnlyDefinitions) return { comparedCount: 0, lengthBytes, differences };
  differences.push(...(await extraObjects(Uint32Array.from(oids).toSorted(), session, signal)));
  return { comparedCount: oids.length, lengthBytes, differences };
}

async function digestStored(object: LargeObjectPiece, signal: AbortSignal): Promise<StoredObject> {
  const whole = createHash("sha256");
  const part = Buffer.alloc(object.lengthBytes === null ? PART_BYTES : Math.min(PART_BYTES, object.lengthBytes));
  let [filled, lengthBytes] = [0, 0];
  const endPart = (): void => {
    if (filled > 0) whole.update(hash("sha256", part.subarray(0, filled), "buffer"));
    filled = 0;
  };
  for await (const bytes of object.read(signal)) {
    for (let rest = bytes; rest.length > 0;) {
      const taken = Math.min(rest.length, PART_BYTES - filled);
      part.set(rest.subarray(0, taken), filled);
      filled += taken;
      lengthBytes += taken;
      rest = rest.subarray(taken);
      if (filled === PART_BYTES) endPart();
    }
  }
  endPart();
  return { oid: object.oid, lengthBytes, digest: whole.digest("hex") };
}

async function compareBatch(
  batch: readonly StoredObject[],
  session: Session,
  signal: AbortSignal,
): Promise<Difference[]> {
  const oids = batch.map(({ oid }) => oid).join(",");
  // 262144: open for reading. Descriptors are closed with the transaction.
  const { rows } = await session.query(
    `SELECT sized.oid, sized.bytes, (
       SELECT pg_catalog.sha256(coalesce(pg_catalog.string_agg(
                pg_catalog.sha256(pg_catalog.lo_get(sized.oid, at, ${PART_BYTES})), ''::pg_catalog.bytea ORDER BY at), ''))
         FROM pg_catalog.generate_series(0, sized.bytes - 1, ${PART_BYTES}) AS at)
       FROM (SELECT m.oid, pg_catalog.lo_lseek64(pg_catalog.lo_open(m.oid, 262144), 0, 2) AS bytes
               FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid = ANY (ARRAY[${oids}]::pg_catalog.oid[]) OFFSET 0) AS sized;`,
    { signal },
  );
  const found = new Map(rows.map(([oid, bytes, digest]) => [Number(oid), { bytes: Number(bytes), digest }]));
  return batch.flatMap(({ oid, lengthBytes, digest }): Difference[] => {
    const other = found.get(oid);
    const name = `large object ${oid}`;
    if (other === undefined) return [{ kind: "large object", name, what: "is missing" }];
    if (other.bytes !== lengthBytes) {
      return [{ kind: "large object", name, what: `has ${other.bytes} bytes, not ${lengthBytes}` }];
    }
    if (other.digest === `\\x${digest}`) return [];
    return [{ kind: "large object", name, what: `has other contents in its ${lengthBytes} bytes` }];
  });
}

/** Objects that the archive does not have. */
async function extraObjects(known: Uint32Array, session: Session, signal: AbortSignal): Promise<Difference[]> {
  const differences: Difference[] = [];
  for (let last = 0; differences.length < EXTRA_NAMED_MAX;) {
    const { rows } = await session.query(
      `SELECT oid FROM pg_catalog.pg_largeobject_metadata WHERE oid > ${last} ORDER BY oid LIMIT ${OIDS_AT_ONCE};`,
      { signal },
    );
    for (const [text] of rows) {
      last = Number(text);
      if (!includes(known, last)) {
        differences.push({ kind: "large object", name: `large object ${last}`, what: "is not in the archive" });
      }
    }
    if (rows.length < OIDS_AT_ONCE) break;
  }
  return differences.slice(0, EXTRA_NAMED_MAX);
}

function includes(sorted: Uint32Array, value: number): boolean {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value;
}
