// Seals a run: looks for the WAL summary that covers its snapshot, and makes the record by which the next run judges it.

import {
  carryCheckpoints,
  chooseBase,
  digestSummaries,
  listSummaries,
  provenCheckpoints,
  sealOf,
  summariesWithin,
  type Answer,
  type IncrementalRecord,
  type WalSummary,
} from "../../../incremental/index.ts";
import type { OperationContext } from "../../operation.ts";
import type { ServerLife } from "./server-life.ts";
import type { ServerView } from "./server-view.ts";

/** What is recorded, and why it may be of no use. */
export interface SealedRecord {
  readonly record: IncrementalRecord;
  /** Why the next run cannot take anything over; null: it can. */
  readonly noParentBecause: string | null;
}

interface Sealing {
  /** The seal must be seen in the life of the server in which the snapshot was. */
  readonly life: ServerLife;
  readonly server: ServerView;
  readonly parentRecord: IncrementalRecord | null;
  readonly counts: Pick<IncrementalRecord, "runsSinceFullRead" | "distrustedBecause">;
}

/** Makes the record. Throws only when the operation is cancelled. */
export async function sealRecord(context: OperationContext, sealing: Sealing): Promise<SealedRecord> {
  const { life, server } = sealing;
  const { position } = server;
  const answer = await life.ask(async (session) => {
    const summaries = await listSummaries(session, position.timeline, context.signal);
    if (summaries.kind === "unknown") return summaries;
    const record = makeRecord(sealing, summaries.value);
    const { baseLsn, sealLsn } = record;
    if (baseLsn === null || sealLsn === null) return known({ record, noParentBecause: missing(record) });
    const range = { timeline: position.timeline, fromLsn: baseLsn, toLsn: sealLsn };
    const within = summariesWithin(summaries.value, range);
    if (within === null) {
      return known(unsealed(record, "WAL summaries are missing between its base and its seal"));
    }
    const digest = await digestSummaries(session, within, position.databaseOid, context.signal);
    if (digest.kind === "unknown") return known(unsealed(record, digest.reason));
    return known({ record: { ...record, summaryDigest: digest.value }, noParentBecause: null });
  });
  if (answer.kind === "known") return answer.value;
  return { record: makeRecord(sealing, []), noParentBecause: answer.reason };
}

function known(value: SealedRecord): Answer<SealedRecord> {
  return { kind: "known", value };
}

/** The checkpoint records stay: the parent's were proven by its own seal. */
function unsealed(record: IncrementalRecord, noParentBecause: string): SealedRecord {
  return { record: { ...record, sealLsn: null, summaryDigest: null }, noParentBecause };
}

function missing({ sealLsn }: IncrementalRecord): string {
  if (sealLsn === null) return "no WAL summary has reached its snapshot yet";
  return "a transaction is open since before the last checkpoints that it knows of";
}

/** Without a digest. Checkpoint records of the parent come along where the server shows that its history is the same. */
function makeRecord({ server, parentRecord, counts }: Sealing, summaries: readonly WalSummary[]): IncrementalRecord {
  const { position, text, largeObjects } = server;
  const [own, ...earlier] = server.checkpoints.toReversed();
  const proven = provenCheckpoints(parentRecord, position, summaries);
  const checkpoints = carryCheckpoints([...proven, ...earlier], own!, position);
  const baseLsn = chooseBase(checkpoints, position);
  const sealLsn = sealOf(summaries, position);
  return { position, text, checkpoints, baseLsn, sealLsn, summaryDigest: null, largeObjects, ...counts };
}
