// The one session that stays open from before the snapshot until the seal is found: what becomes of a backup when the
// server crashes meanwhile, when that session alone is lost, and when it has met another server. The restore point is made and right in each case.

import { execFileSync } from "node:child_process";
import type * as Timers from "node:timers/promises";
import { connect, createServer, type AddressInfo, type Server } from "node:net";

import { afterAll, beforeAll, expect, test, vi } from "vitest";

import type { BackupReceipt, BackupSettings } from "../../src/operations/backup/index.ts";
import type { ReadingSettings } from "../../src/operations/backup/incremental/types.ts";
import type { OperationEvent } from "../../src/operations/operation.ts";
import type { OwnServer } from "../support/servers.ts";
import { IncrementalBench, SEGMENT_COUNT } from "./support.ts";

// The longer pauses between attempts need not be waited for.
vi.mock("node:timers/promises", async (original) => {
  const real = await original<typeof Timers>();
  const shortly: typeof real.setTimeout = (ms, value, options) => {
    return real.setTimeout(ms === 5_000 || ms === 15_000 ? 50 : ms, value, options);
  };
  return { ...real, setTimeout: shortly };
});

let server: OwnServer;

beforeAll(async () => {
  server = await IncrementalBench.startServer(18);
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** Asks the server at once, while the backup stands still. */
function psqlSync(uri: string, sql: string): string {
  const asked = ["-X", "-At", "-d", uri, "-c", sql];
  return execFileSync(server.tools.psql, asked, { env: {}, stdio: ["ignore", "pipe", "ignore"] })
    .toString()
    .trim();
}

/** Backs up, and does something once when the phase begins whose message or name is that. */
async function backupWith(
  {
    bench,
    reading = {},
    ...settings
  }: { bench: IncrementalBench } & Omit<Partial<BackupSettings>, "reading"> & {
      reading?: Partial<ReadingSettings>;
    },
  phase: RegExp,
  work: () => void,
): Promise<BackupReceipt> {
  let isDone = false;
  const onEvent = (event: OperationEvent): void => {
    if (isDone || event.type !== "phase" || !phase.test(`${event.phase}: ${event.message}`)) return;
    isDone = true;
    work();
  };
  const receipt = await bench.backup(reading, { ...settings, onEvent } as object);
  expect(isDone).toBe(true);
  return receipt;
}

const ENDS_IT = `SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
                  WHERE application_name = 'cairn incremental' AND datname = current_database()`;

test("a server that crashed between the reading and the seal: the restore point is right, and not sealed", async () => {
  await using bench = await IncrementalBench.on(server);
  const reading = { checkpoint: "wait" } as const; // so that there is something to wait for when all is read
  const first = await backupWith({ bench, reading }, /^seal/, () => {
    const walWriter = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";
    const victim = psqlSync(server.uri("postgres"), walWriter);
    process.kill(Number(victim), "SIGKILL"); // takes all other processes along, and the server starts again
    for (let attempt = 0; attempt < 200; attempt += 1) {
      execFileSync("sleep", ["0.05"]);
      try {
        const now = psqlSync(server.uri("postgres"), walWriter);
        if (now !== "" && now !== victim) return;
      } catch {} // it starts
    }
    throw new Error("the server did not come back");
  });
  expect(first.reading.noParentBecause).toMatch(/^the session that was open since before the snapshot was lost/);
  await bench.expectEqual(first.id);
  const next = await bench.backup();
  expect(next.reading.allReadBecause).toMatch(/^the parent is not sealed/);
});

test("the session alone is lost while segments are taken over: their definitions are proven on a new one", async () => {
  await using bench = await IncrementalBench.on(server);
  await bench.backup();
  const selection = ["--lock-wait-timeout=60s"]; // changes no text: the lineage goes on
  const { reading, warnings, id } = await backupWith({ bench, selection }, /^read: .*cannot have changed/, () => {
    expect(psqlSync(bench.source.uri, ENDS_IT)).toBe("1");
  });
  expect(warnings).toEqual([]);
  expect(reading).toMatchObject({ readSegmentCount: 0, takenOverSegmentCount: SEGMENT_COUNT + 1 });
  expect(reading.noParentBecause).toMatch(/^the session that was open since before the snapshot was lost/);
  await bench.expectEqual(id);
});

test("definitions that cannot be looked at again: what was taken over is read, the rest is not read twice", async () => {
  await using bench = await IncrementalBench.on(server);
  let isRefused = false;
  await using way = await Way.to((startup) => {
    return isRefused && startup.includes("cairn incremental") ? null : server.port;
  });
  const source = way.from(bench.source.uri);
  await bench.backup({}, { source });
  await bench.source.psql("UPDATE kind SET id = id"); // read whole in any case
  const { reading, warnings, id } = await backupWith({ bench, source }, /^read: .*cannot have changed/, () => {
    psqlSync(bench.source.uri, ENDS_IT);
    isRefused = true;
  });
  expect(warnings).toEqual([
    "it could not be found out whether columns or types changed while these tables were read: public.item, public.kind",
  ]);
  expect(reading).toMatchObject({ takenOverSegmentCount: 0, readSegmentCount: SEGMENT_COUNT + 1 });
  expect(reading.noParentBecause).not.toBeNull();
  await bench.expectEqual(id);
  isRefused = false;
  const next = await bench.backup({}, { source });
  expect(next.reading.takenOverSegmentCount).toBe(0);
});

test("facts of another server behind the same address are not believed", async () => {
  await using other = await IncrementalBench.startServer(18);
  await using bench = await IncrementalBench.on(server);
  await using _twin = await other.createDatabase(bench.source.name);
  await using way = await Way.to((startup) => (startup.includes("cairn incremental") ? other.port : server.port));
  const { reading, id } = await bench.backup({}, { source: way.from(bench.source.uri) });
  expect(reading.allReadBecause).toMatch(/could not take the snapshot/);
  expect(reading.noParentBecause).toBe(reading.allReadBecause);
  await bench.expectEqual(id);
});

/** An address with servers behind it: which one a connection meets is chosen by what it says first. */
class Way implements AsyncDisposable {
  readonly #listening: Server;

  private constructor(listening: Server) {
    this.#listening = listening;
  }

  static async to(choosePort: (startup: Buffer) => number | null): Promise<Way> {
    const listening = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (bytes) => {
        const port = choosePort(bytes);
        if (port === null) return socket.destroy();
        const onward = connect(port, "127.0.0.1").on("error", () => socket.destroy());
        onward.write(bytes);
        socket.pipe(onward).pipe(socket);
      });
    });
    await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
    return new Way(listening);
  }

  /** The same database by this address, unencrypted so that what is said can be read. */
  from(uri: string): string {
    const { port } = this.#listening.address() as AddressInfo;
    return `${uri.replace(/:\d+\//, `:${port}/`)}?sslmode=disable`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listening.close();
  }
}
