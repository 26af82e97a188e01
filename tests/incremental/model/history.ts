// A random history on one server: rounds of work, events and a reading, each judged against up to five earlier ones.

import { Dice } from "./dice.ts";
import { perhapsEvent } from "./events.ts";
import { compare, FileContents, judge, judgeDoctored, questionOf, type Answers } from "./judgement.ts";
import { changeDefinition, endAll, startHurry, work } from "./load.ts";
import { leaveOut, MUTATIONS, type MutationName } from "./mutations.ts";
import { takeReading, type Reading, type Situation } from "./reading.ts";
import type { World } from "./world.ts";

/** Earlier restore points that a round is judged against. */
const PARENT_COUNT_MAX = 5;

/** Of a hundred rounds so many do not wait for summaries, so they are not sealed. */
const UNSEALED_SHARE = 0.08;

const mutationNames = Object.keys(MUTATIONS) as MutationName[];

/** What a history showed. */
export class Tally {
  roundCount = 0;
  takenOverCount = 0;
  /** Highest xmax of a snapshot. */
  xmaxHighest = 0n;
  readonly wrong: string[] = [];
  readonly reasons = new Map<string, number>();
  readonly events = new Map<string, number>();
  /** Changes of definitions that the server did not refuse, and transactions prepared. */
  readonly changes: ReadonlyMap<string, number>;
  /** Wrong segments of each rule left out. */
  readonly mutations = new Map<MutationName, number>();

  constructor(changes: ReadonlyMap<string, number>) {
    this.changes = changes;
  }

  count<Key>(counts: Map<Key, number>, key: Key, by = 1): void {
    counts.set(key, (counts.get(key) ?? 0) + by);
  }

  /** As lines of text. */
  describe(): string {
    const listed = (counts: ReadonlyMap<string, number>): string =>
      [...counts]
        .toSorted(([, a], [, b]) => b - a)
        .map(([name, count]) => `${name} ${count}`)
        .join("; ");
    return [
      `${this.roundCount} rounds, ${this.takenOverCount} segments taken over, ${this.wrong.length} wrong`,
      `  read: ${listed(this.reasons)}`,
      `  events: ${listed(this.events)}`,
      `  changes: ${listed(this.changes)}`,
      `  wrong with a rule left out: ${listed(this.mutations)}`,
    ].join("\n");
  }
}

/** One parent's answers, with the rules and with each of them left out. */
interface Judged {
  readonly parent: Reading;
  readonly answers: Answers;
  readonly doctored: ReadonlyMap<MutationName, Answers>;
}

/** A history under way. */
export class History {
  readonly tally: Tally;
  readonly #world: World;
  readonly #dice: Dice;
  readonly #files = new FileContents();
  #parents: Reading[] = [];

  constructor(world: World, seed: number) {
    this.#world = world;
    this.tally = new Tally(world.done);
    this.#dice = new Dice(seed);
  }

  /** One round. */
  async round(): Promise<void> {
    const [world, dice] = [this.#world, this.#dice];
    const event = await perhapsEvent(world, dice);
    if (event !== null) this.tally.count(this.tally.events, event);
    if (event === "data folder put back" || event === "other clone" || event === "crash") this.#files.forget();
    const endHurry = dice.chance(0.5) ? await startHurry(world, dice) : null;
    await work(world, dice, dice.between(0, 14));
    if (dice.chance(0.5)) await changeDefinition(world, dice);
    await this.#read();
    await endHurry?.();
    this.tally.roundCount += 1;
  }

  async #read(): Promise<void> {
    const [world, dice] = [this.#world, this.#dice];
    const sessions = { holder: await world.session("holder"), second: await world.session("control") };
    const judged: Judged[] = [];
    let situation: Situation | null = null;
    const reading = await takeReading(sessions, {
      parent: this.#parents.at(-1) ?? null,
      awaits: !dice.chance(UNSEALED_SHARE),
      between: () => (dice.chance(0.3) ? work(world, dice, dice.between(1, 3)) : Promise.resolve()),
      release: () => endAll(world, dice),
      decide: async (now) => {
        situation = now;
        for (const parent of this.#parents) judged.push(await this.#judge(parent, now));
      },
    });
    const { xmax } = reading.record.position;
    if (xmax > this.tally.xmaxHighest) this.tally.xmaxHighest = xmax;
    for (const one of judged) this.#compare(one, reading, situation!);
    this.#parents = [...this.#parents, reading].slice(-PARENT_COUNT_MAX);
  }

  async #judge(parent: Reading, now: Situation): Promise<Judged> {
    const second = await this.#world.session("control");
    await this.#files.load(second, now.summaries, now.position.databaseOid);
    const question = questionOf(parent, now, this.#files);
    const answers = await judge(second, question);
    const doctored = mutationNames.map((name) => [name, judgeDoctored(leaveOut(name, question, now))] as const);
    return { parent, answers, doctored: new Map(doctored) };
  }

  #compare({ parent, answers, doctored }: Judged, now: Reading, situation: Situation): void {
    const { takenOverCount, wrong } = compare(answers, parent, now);
    this.tally.takenOverCount += takenOverCount;
    for (const place of wrong)
      this.tally.wrong.push(`round ${this.tally.roundCount}: ${place} ${explain(parent, situation)}`);
    for (const [reason, count] of answers.reasons) this.tally.count(this.tally.reasons, reason, count);
    for (const [name, other] of doctored) {
      const count = compare(other, parent, now).wrong.length;
      if (count > 0) this.tally.count(this.tally.mutations, name, count);
    }
  }
}

function explain({ record }: Reading, { position, summaries }: Situation): string {
  const text = { parent: record, now: position, summaries: summaries.map((one) => `${one.startLsn}-${one.endLsn}`) };
  return JSON.stringify(text, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
}
