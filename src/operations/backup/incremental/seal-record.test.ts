import { expect, test } from "vitest";

import type { Answer, CheckpointRecord, IncrementalRecord, ServerPosition } from "../../../incremental/index.ts";
import type { Session } from "../../../postgres/index.ts";
import type { OperationContext } from "../../operation.ts";
import { sealRecord } from "./seal-record.ts";
import type { ServerLife } from "./server-life.ts";
import type { ServerView } from "./server-view.ts";

const checkpoint = (redoLsn: bigint, nextXid: bigint): CheckpointRecord => ({ timeline: 1, redoLsn, nextXid });

const position: ServerPosition = {
  systemIdentifier: "7",
  databaseOid: 5,
  timeline: 1,
  hostRole: "primary",
  postmasterStartedAt: "2026-01-01T00:00:00.000Z",
  serverVersionNum: 180_000,
  xmin: 900n,
  xmax: 1_000n,
  snapshotLsn: 400n,
};

const parent = {
  position: { ...position, snapshotLsn: 150n },
  checkpoints: [checkpoint(100n, 800n)],
  baseLsn: 100n,
  sealLsn: 200n,
} as unknown as IncrementalRecord;

/** A session that answers every question with the list of summaries. */
function lifeWith(summaries: readonly (readonly [start: number, end: number])[]): ServerLife {
  const rows = summaries.map(([start, end]) => ["1", `${start}`, `${end}`]);
  const session = { query: () => Promise.resolve({ all: [{ rows }, { rows: [] }] }) } as unknown as Session;
  return { ask: (work: (session: Session) => Promise<Answer<unknown>>) => work(session) } as unknown as ServerLife;
}

test.each([
  ["a gap between base and seal leaves out seal and digest, not the proven checkpoints", [[100, 200], [300, 500]], true], // prettier-ignore
  ["checkpoints of a parent whose seal is not found are not carried", [[100, 210], [300, 500]], false], // prettier-ignore
] as const)("sealRecord(): %s", async (_what, summaries, isProven) => {
  const own = checkpoint(350n, 950n);
  const server = { checkpoints: [own], position, text: {}, largeObjects: null } as unknown as ServerView;
  const sealed = await sealRecord({ signal: new AbortController().signal } as OperationContext, {
    life: lifeWith(summaries),
    server,
    parentRecord: parent,
    counts: { runsSinceFullRead: 0, distrustedBecause: null },
  });
  expect(sealed.noParentBecause).not.toBeNull();
  const checkpoints = isProven ? [...parent.checkpoints, own] : [own];
  expect(sealed.record).toMatchObject({ checkpoints, baseLsn: isProven ? 100n : null, summaryDigest: null });
  if (isProven) expect(sealed.record.sealLsn).toBeNull();
});

test("sealRecord() goes by the checkpoint before the one that was asked for, where a transaction that was open then is open", async () => {
  const own = [checkpoint(300n, 800n), checkpoint(350n, 950n)];
  const server = { checkpoints: own, position, text: {}, largeObjects: null } as unknown as ServerView;
  const { record } = await sealRecord({ signal: new AbortController().signal } as OperationContext, {
    life: lifeWith([[300, 500]]),
    server,
    parentRecord: null,
    counts: { runsSinceFullRead: 0, distrustedBecause: null },
  });
  expect(record).toMatchObject({ checkpoints: own, baseLsn: 300n, sealLsn: 500n });
});
