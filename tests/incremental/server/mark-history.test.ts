// markHistory() on a server of its own: a record of the length drawn, for any role that may log in, and nothing on a standby.

import { afterAll, beforeAll, expect, test } from "vitest";

import { markHistory, parseLsn } from "../../../src/incremental/index.ts";
import type { Session } from "../../../src/postgres/index.ts";
import { ownServer } from "../../support/servers.ts";
import { sessionOn, signal } from "./support.ts";

const MARK_BYTES = 60_000;
const draw = (): number => MARK_BYTES;
const disposables = new AsyncDisposableStack();
let session: Session;

beforeAll(async () => {
  const own = disposables.use(await ownServer(18, { settings: { autovacuum: "off" } }));
  await own.psql("postgres", "CREATE ROLE nobody_special LOGIN");
  session = disposables.use(await sessionOn(own.uri("postgres", { user: "nobody_special" })));
});
afterAll(() => disposables.disposeAsync());

async function insertLsn(): Promise<bigint> {
  return parseLsn((await session.query("SELECT pg_current_wal_insert_lsn()")).value!)!;
}

async function nextXid(): Promise<string> {
  return (await session.query("SELECT pg_snapshot_xmax(pg_current_snapshot())")).value!;
}

test("markHistory() writes as much as was drawn, and uses no transaction id", async () => {
  const before = { lsn: await insertLsn(), xid: await nextXid() };
  const answer = await markHistory(session, { hostRole: "primary" }, { signal, draw });
  expect(answer).toEqual({ kind: "known", value: null });
  expect(await insertLsn()).toBeGreaterThanOrEqual(before.lsn + BigInt(MARK_BYTES));
  expect(await nextXid()).toBe(before.xid);
});

test("markHistory() writes nothing on a standby", async () => {
  const before = await insertLsn();
  await markHistory(session, { hostRole: "standby" }, { signal, draw });
  expect(await insertLsn()).toBeLessThan(before + BigInt(MARK_BYTES));
});

test("markHistory() draws another length each time", async () => {
  const lengths = new Set<bigint>();
  for (let round = 0; round < 5; round += 1) {
    const before = await insertLsn();
    await markHistory(session, { hostRole: "primary" }, { signal });
    lengths.add((await insertLsn()) - before);
  }
  expect(lengths.size).toBeGreaterThan(2);
});
