// How the transaction of a connection ended that was lost at its COMMIT, asked over another connection. What is still
// open there is ended: nobody will. Source: PostgreSQL manual, "Transaction ID and Snapshot Information Functions".

import { setTimeout as delay } from "node:timers/promises";
import { OperatingError } from "../base/errors.ts";
import { quoteLiteral } from "../postgres/index.ts";
import type { RestoreWorker } from "./worker.ts";

const ANSWER_WAIT_MS = 30_000;
const ANSWER_INTERVAL_MS = 50;

/** A transaction that is about to be committed, and the server process that it is in. */
export interface FirstTransaction {
  readonly id: string;
  readonly processId: number;
}

/** The transaction that a connection has open. */
export async function firstTransaction({ session, signal }: RestoreWorker): Promise<FirstTransaction> {
  const { value } = await session.query("SELECT pg_catalog.pg_current_xact_id();", { signal });
  return { id: value ?? "", processId: session.connection.processId };
}

/** Whether it was committed. Throws "connection_lost" when the server does not say within ANSWER_WAIT_MS. */
export async function hasCommitted(
  { session, signal }: RestoreWorker,
  { id, processId }: FirstTransaction,
): Promise<boolean> {
  const deadlineMs = performance.now() + ANSWER_WAIT_MS;
  // A process that was to commit and did not hear of it waits for a word that will not come. Its number is not yet another's
  // while its transaction is open.
  const end =
    `SELECT pg_catalog.pg_terminate_backend(${processId}) FROM (SELECT pg_catalog.pg_xact_status(${quoteLiteral(id)})) AS t (status) ` +
    "WHERE status OPERATOR(pg_catalog.=) 'in progress';";
  for (;;) {
    const status = (await session.query(`SELECT pg_catalog.pg_xact_status(${quoteLiteral(id)});`, { signal })).value;
    if (status === "committed" || status === "aborted") return status === "committed";
    if (status !== "in progress" || performance.now() > deadlineMs) break;
    await session.query(end, { signal });
    await delay(ANSWER_INTERVAL_MS, undefined, { signal });
  }
  throw new OperatingError("connection_lost", "it is not known whether a part of the table was committed", {
    hint: "Restore into a new database again.",
  });
}
