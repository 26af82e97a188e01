// The load of a random history: sessions that begin, work, save, roll back, prepare and commit transactions, some of them
// over several backups, and one that changes definitions. Steps are taken one after another, so that a seed draws nearly
// the same history again; only autovacuum and the session of `startHurry()` work beside them.

import { definitionChange, undoableChange } from "./definitions.ts";
import type { Dice } from "./dice.ts";
import { manyTransactions, rowStatement, sharedLocks } from "./statements.ts";
import type { World } from "./world.ts";

const ACTORS = ["actor 1", "actor 2", "actor 3", "actor 4"] as const;

/** Prepared transactions that may wait at once. */
const PREPARED_COUNT_MAX = 5;

/** One step of a random actor. */
export async function stepActor(world: World, dice: Dice): Promise<void> {
  const actor = dice.pick(ACTORS);
  if (!world.isOpen(actor)) {
    if (dice.chance(0.4)) {
      // Nobody is woken for this commit: a crash soon after undoes it.
      const mode = dice.pick(["on", "off", "off"]);
      await world.tries(actor, `BEGIN; SET LOCAL synchronous_commit = ${mode}; ${rowStatement(dice)}; COMMIT`);
      return;
    }
    const mode = dice.pick(["on", "off"]);
    await world.tries(actor, `BEGIN; SET LOCAL synchronous_commit = ${mode}; ${rowStatement(dice)}`);
    return;
  }
  const draw = dice.next();
  if (draw < 0.35) await world.tries(actor, rowStatement(dice));
  else if (draw < 0.4) await world.tries(actor, undoableChange(dice));
  else if (draw < 0.5) await world.tries(actor, `SAVEPOINT s; ${rowStatement(dice)}`);
  else if (draw < 0.56) await world.tries(actor, `SAVEPOINT s; ${rowStatement(dice)}; ROLLBACK TO SAVEPOINT s`);
  else await endTransaction(world, dice, actor);
}

/** Several actors lock the same rows, each in its transaction, which stays open. */
async function lockTogether(world: World, dice: Dice): Promise<void> {
  const first = dice.below(ACTORS.length);
  for (const [index, statement] of sharedLocks(dice).entries()) {
    const actor = ACTORS[(first + index) % ACTORS.length]!;
    await world.tries(actor, world.isOpen(actor) ? statement : `BEGIN; ${statement}`);
  }
}

async function endTransaction(world: World, dice: Dice, actor: string): Promise<void> {
  const draw = dice.next();
  if (draw < 0.5) await world.tries(actor, "COMMIT");
  else if (draw < 0.7) await world.tries(actor, "ROLLBACK");
  else if (draw < 0.85 && (await world.prepared()).length < PREPARED_COUNT_MAX) {
    const isDone = await world.tries(actor, `PREPARE TRANSACTION 'p${dice.below(1_000_000)}'`);
    if (isDone) world.done.set("prepare", (world.done.get("prepare") ?? 0) + 1);
  }
}

/** A random change of definitions, in a session of its own. */
export async function changeDefinition(world: World, dice: Dice): Promise<void> {
  const { name, statements } = definitionChange(dice, world.server.socketDirectory);
  let isDone = true;
  for (const statement of statements) isDone = (await world.tries("definer", statement)) && isDone;
  if (isDone) world.done.set(name, (world.done.get(name) ?? 0) + 1);
}

/** Ends one of the prepared transactions, when there is one. */
export async function endPrepared(world: World, dice: Dice): Promise<void> {
  const names = await world.prepared();
  if (names.length === 0) return;
  await world.tries("control", `${dice.pick(["COMMIT", "ROLLBACK"])} PREPARED '${dice.pick(names)}'`);
}

/** Ends every open transaction, one way or the other. */
export async function endAll(world: World, dice: Dice): Promise<void> {
  for (const actor of ACTORS) if (world.isOpen(actor)) await world.tries(actor, dice.pick(["COMMIT", "ROLLBACK"]));
  for (const name of await world.prepared()) {
    await world.tries("control", `${dice.pick(["COMMIT", "ROLLBACK"])} PREPARED '${name}'`);
  }
}

/** Steps of any kind. */
export async function work(world: World, dice: Dice, stepCount: number): Promise<void> {
  for (let step = 0; step < stepCount; step += 1) {
    const draw = dice.next();
    if (draw < 0.05) await world.tries("control", "CHECKPOINT");
    else if (draw < 0.12) await lockTogether(world, dice);
    else if (draw < 0.82) await stepActor(world, dice);
    else if (draw < 0.91) await changeDefinition(world, dice);
    else await endPrepared(world, dice);
  }
}

/** Begins many small transactions beside whatever comes next; call the result to await their end. */
export async function startHurry(world: World, dice: Dice): Promise<() => Promise<void>> {
  const session = await world.session("hurry");
  const running = session.query(manyTransactions(dice)).then(
    () => {},
    () => {}, // a lock that it could not have, or the server's crash
  );
  return () => running;
}
