// Brings a server near the end of the 32-bit transaction ids, so that a history crosses it. In three steps, since ids may
// not be further apart than half of them; what is older is frozen in between. Source: PostgreSQL manual, "pg_resetwal".

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { giveToServerUser } from "../../support/server-user.ts";
import type { World } from "./world.ts";

/** The last one leaves fewer ids than half a history takes. */
const STEPS = [1_450_000_000, 2_900_000_000, 2 ** 32 - 300] as const;

/** Transactions whose outcomes stand in one file of pg_xact, and its size. */
const XACT_FILE_XID_COUNT = 2 ** 20;
const XACT_FILE_SIZE_BYTES = XACT_FILE_XID_COUNT / 4;

/** Sets the next transaction id close below 2^32; the server runs before and after. */
export async function bringNearWraparound(world: World): Promise<void> {
  await world.server.psql("postgres", "ALTER DATABASE template0 ALLOW_CONNECTIONS true");
  for (const xid of STEPS) {
    await freeze(world);
    await world.stop("fast");
    await world.runProgram("pg_resetwal", ["-x", String(xid), world.server.dataDirectory]);
    const name = Math.floor(xid / XACT_FILE_XID_COUNT)
      .toString(16)
      .toUpperCase()
      .padStart(4, "0");
    const file = join(world.server.dataDirectory, "pg_xact", name);
    await writeFile(file, Buffer.alloc(XACT_FILE_SIZE_BYTES), { mode: 0o600 });
    await giveToServerUser(file);
    await world.start();
  }
  await freeze(world);
}

async function freeze(world: World): Promise<void> {
  const names = (await world.server.psql("postgres", "SELECT datname FROM pg_database")).split("\n");
  for (const name of names) await world.server.psql(name, "VACUUM (FREEZE)");
}
