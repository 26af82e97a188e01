// The parent's large objects beside the buckets of a run, so that those of a whole bucket can be taken over. Its lists are
// read once, in their order, with the objects of one bucket in memory. pg_dump orders objects by owner, rights and OID: where
// that made other buckets than the parent's, they are not found, and read.

import type { LargeObjectBucket } from "../../dump/index.ts";
import type { LargeObjectRecord, OwnLargeObject, RestorePoint } from "../../repository/index.ts";

export class ParentLargeObjects {
  readonly #records: AsyncGenerator<LargeObjectRecord>;
  /** Read from the lists, and not yet used. */
  #pending: LargeObjectRecord | null = null;

  constructor(parent: RestorePoint | null) {
    this.#records = recordsOf(parent);
  }

  /** The records of exactly these objects, each of them whole; null: the parent has none that are. Asked in plan order. */
  async of({ oids }: LargeObjectBucket): Promise<readonly LargeObjectRecord[] | null> {
    const found: LargeObjectRecord[] = [];
    let index = 0;
    for (let record = await this.#peek(); record !== null && index < oids.length; record = await this.#peek()) {
      const ofRecord = oidsOf(record);
      const isBefore = ofRecord.at(-1)! < oids[0]!;
      const isNext = ofRecord.every((oid, offset) => oid === oids[index + offset]);
      if (!isBefore && !isNext) return null;
      this.#pending = null;
      const whole = record.kind === "shared" ? record : await this.#whole(record);
      if (isBefore) continue;
      if (whole === null) return null;
      found.push(whole);
      index += ofRecord.length;
    }
    return index === oids.length ? found : null;
  }

  async close(): Promise<void> {
    await this.#records.return(undefined);
  }

  /** A long object comes in several records, of which the first says its length: one of all of its chunks, null when some are missing. */
  async #whole(head: OwnLargeObject): Promise<OwnLargeObject | null> {
    const chunks = [...head.chunks];
    for (let next = await this.#peek(); isMoreOf(next, head); next = await this.#peek()) {
      for (const chunk of next.chunks) chunks.push(chunk);
      this.#pending = null;
    }
    const lengthBytes = chunks.reduce((sum, { rawLengthBytes }) => sum + rawLengthBytes, 0);
    const isWhole = lengthBytes === head.lengthBytes && chunks.at(-1)?.continues === false;
    return isWhole ? { ...head, chunks } : null;
  }

  /** The next record, which stays where it is. */
  async #peek(): Promise<LargeObjectRecord | null> {
    if (this.#pending !== null) return this.#pending;
    const next = await this.#records.next();
    this.#pending = next.done === true ? null : next.value;
    return this.#pending;
  }
}

function isMoreOf(record: LargeObjectRecord | null, { oid }: OwnLargeObject): record is OwnLargeObject {
  return record?.kind === "own" && record.continuesPrevious === true && record.oid === oid;
}

function oidsOf(record: LargeObjectRecord): readonly number[] {
  return record.kind === "own" ? [record.oid] : record.objects.map(({ oid }) => oid);
}

async function* recordsOf(parent: RestorePoint | null): AsyncGenerator<LargeObjectRecord> {
  for (const set of parent?.manifest.largeObjects ?? []) yield* parent!.largeObjects(set);
}
