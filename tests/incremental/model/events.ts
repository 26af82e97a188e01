// What happens to the server as a whole between two rounds of a random history.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import type { Dice } from "./dice.ts";
import { endAll } from "./load.ts";
import { DATABASE, type World } from "./world.ts";

/** An event, and of a hundred rounds how many begin with it. */
interface ServerEvent {
  readonly name: string;
  readonly weight: number;
  readonly run: (world: World, dice: Dice) => Promise<void>;
}

const COPY = "copy";

const statement = async (world: World, sql: string): Promise<void> => {
  await (await world.session("control")).query(sql);
};

async function removeSummaries(world: World, dice: Dice): Promise<void> {
  const folder = join(world.server.dataDirectory, "pg_wal/summaries");
  const names = (await readdir(folder)).filter((name) => name.endsWith(".summary")).toSorted();
  // One somewhere in the middle, the newest ones, or the oldest.
  const first = dice.below(names.length);
  const gone = dice.pick([names.slice(first, first + 1), names.slice(-2), names.slice(0, first)]);
  for (const name of gone) await rm(join(folder, name));
}

async function moveDatabase(world: World, dice: Dice): Promise<void> {
  await endAll(world, dice);
  const move = async (tablespace: string): Promise<void> => {
    await world.closeSessions();
    const outside = await world.session("outside", "postgres");
    await outside.query("SET lock_timeout = 0");
    await outside.query(`ALTER DATABASE ${DATABASE} SET TABLESPACE ${tablespace}`);
  };
  await move("far");
  await world.tries("definer", "UPDATE wide SET v = v + 1 WHERE ctid < '(9,0)'");
  await world.tries("definer", "UPDATE accounts SET v = v + 1 WHERE ctid < '(9,0)'");
  await move("pg_default");
}

async function summarizerOffAndOn(world: World): Promise<void> {
  await statement(world, "ALTER SYSTEM SET summarize_wal = off");
  await statement(world, "SELECT pg_catalog.pg_reload_conf()");
  await world.tries("definer", "UPDATE accounts SET v = v + 1 WHERE ctid < '(5,0)'");
  await statement(world, "CHECKPOINT");
  await statement(world, "ALTER SYSTEM RESET summarize_wal");
  await statement(world, "SELECT pg_catalog.pg_reload_conf()");
}

/** Keeps the folder as it is now, for a later event. */
async function keepCopy(world: World): Promise<void> {
  await world.stop("fast");
  await world.keepCopy(COPY);
  await world.start();
  copies.add(world);
}

/** Worlds that have a copy of their data folder. */
const copies = new WeakSet<World>();

async function withCopy(world: World, work: (name: string) => Promise<void>): Promise<void> {
  if (!copies.has(world)) return keepCopy(world);
  await world.stop("fast");
  await work(COPY);
  await world.start();
}

const EVENTS: readonly ServerEvent[] = [
  { name: "checkpoint", weight: 12, run: (world) => statement(world, "CHECKPOINT") },
  { name: "WAL switch", weight: 4, run: (world) => statement(world, "SELECT pg_catalog.pg_switch_wal()") },
  { name: "crash", weight: 7, run: (world) => world.restart("immediate") },
  { name: "stop and start", weight: 3, run: (world) => world.restart("fast") },
  { name: "summaries removed", weight: 4, run: removeSummaries },
  { name: "summarizer off and on", weight: 2, run: summarizerOffAndOn },
  { name: "database moved and moved back", weight: 1, run: moveDatabase },
  { name: "data folder copied", weight: 2, run: keepCopy },
  { name: "data folder put back", weight: 2, run: (world) => withCopy(world, (name) => world.putBack(name)) },
  { name: "other clone", weight: 3, run: (world) => withCopy(world, (name) => world.exchange(name)) },
  { name: "all transactions ended", weight: 12, run: endAll },
];

/** Perhaps an event; its name, or null. */
export async function perhapsEvent(world: World, dice: Dice): Promise<string | null> {
  let draw = dice.below(100);
  for (const { name, weight, run } of EVENTS) {
    draw -= weight;
    if (draw >= 0) continue;
    await run(world, dice);
    return name;
  }
  return null;
}
