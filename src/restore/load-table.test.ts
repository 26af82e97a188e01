import { setImmediate as turn } from "node:timers/promises";

import { expect, test } from "vitest";

import type { ArchiveContents, DataPiece } from "../archive/index.ts";
import { OperatingError } from "../base/errors.ts";
import { TableLoad } from "./load-table.ts";
import type { RestoreTask } from "./plan.ts";
import type { RestoreWorker } from "./worker.ts";

const PIECE_COUNT = 12;

/** A connection of which each piece is one row; `commit` is what becomes of its COMMIT. */
function fakeWorker(commit: () => Promise<string>): { worker: RestoreWorker; statements: string[] } {
  const statements: string[] = [];
  let rowCount = 0;
  const writer = {
    write: async () => {
      await turn();
      rowCount += 1;
    },
    finish: async () => ({ rowCount }),
    fail: async () => {},
  };
  const run = async (sql: string): Promise<string> => {
    statements.push(sql);
    return sql === "COMMIT;" ? await commit() : "";
  };
  const session = { copyIn: async () => writer, query: run, isConnected: true, connection: { processId: 1 } };
  return { worker: { session, run, signal: undefined } as unknown as RestoreWorker, statements };
}

function tableLoad(): TableLoad {
  const piece = {
    rawLengthBytes: 2 << 20,
    rowCount: 1,
    continues: false,
    load: async () => new Uint8Array(1),
  } as unknown as DataPiece;
  const contents = {
    async *tableData() {
      for (let index = 0; index < PIECE_COUNT; index += 1) yield piece;
    },
  } as unknown as ArchiveContents;
  const load = { kind: "copy", table: "public.t", copyStatement: "COPY public.t FROM stdin;" } as never;
  return new TableLoad({ entry: { tag: "t" } } as RestoreTask, load, contents, {
    isInTransaction: false,
    freezes: false,
    mayBeShared: true,
    recordStatement: () => "",
    onData: () => {},
    onWork: () => {},
  });
}

const refusal = new OperatingError("query_failed", "no space left on device");

test("a table whose first connection could not commit holds no rows of the others", async () => {
  const leader = fakeWorker(() => Promise.reject(refusal));
  const helper = fakeWorker(async () => "COMMIT");
  const load = tableLoad();
  const running = load.run(leader.worker);
  const joined = load.join(helper.worker);
  await expect(running).rejects.toBe(refusal);
  await joined;
  expect(helper.statements).toEqual(["ROLLBACK;"]);
});

test("a table whose other connection could not commit holds no rows of the first", async () => {
  const leader = fakeWorker(async () => "COMMIT");
  const helper = fakeWorker(() => Promise.reject(refusal));
  const load = tableLoad();
  const running = load.run(leader.worker);
  const joined = load.join(helper.worker);
  await expect(running).rejects.toBe(refusal);
  await joined;
  expect(leader.statements.at(-1)).toBe("TRUNCATE TABLE ONLY public.t;");
});

test("a load that is given up before it began sends away who joined it, without rows", async () => {
  const helper = fakeWorker(async () => "COMMIT");
  const load = tableLoad();
  const joined = load.join(helper.worker);
  await load.abandon(refusal);
  await joined;
  expect(helper.statements).toEqual(["ROLLBACK;"]);
  expect(load.mayBeJoined).toBe(false);
});
