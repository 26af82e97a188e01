// Restore points taken one after another for a scripted history, and what would be taken over from one for another: with
// the rules, and with some of them left out.

import { compare, FileContents, judge, judgeDoctored, questionOf, type Answers, type Comparison } from "./judgement.ts";
import { leaveOut, type MutationName } from "./mutations.ts";
import { takeReading, type Reading, type ReadingOptions, type RunSessions } from "./reading.ts";

/** How a restore point is taken, where not as usual. */
export type PointOptions = Partial<Omit<ReadingOptions, "decide" | "release">>;

const nothing = async (): Promise<void> => {};

/** A restore point. */
export function takePoint(sessions: RunSessions, options: PointOptions = {}): Promise<Reading> {
  return takeReading(sessions, {
    parent: null,
    awaits: true,
    between: nothing,
    ...options,
    release: nothing,
    decide: nothing,
  });
}

/** What would be taken over, and what of it would be wrong. */
export interface Outcome {
  readonly kept: Comparison;
  readonly leftOut: Comparison;
  /** The same for the other list of rules. */
  readonly otherLeftOut: Comparison;
  /** Why segments are read, with the rules and without those left out. */
  readonly reasons: string;
}

export interface OutcomeOptions extends PointOptions {
  /** The rules to leave out, in this order. */
  readonly without: readonly MutationName[];
  /** Another list, judged on the same data. */
  readonly otherWithout?: readonly MutationName[];
}

/** Takes another restore point, judged against the parent by all rules and without some. */
export async function outcomeOf(sessions: RunSessions, parent: Reading, options: OutcomeOptions): Promise<Outcome> {
  const answers: Answers[] = [];
  const { without, otherWithout = without, ...rest } = options;
  const now = await takeReading(sessions, {
    parent,
    awaits: true,
    between: nothing,
    ...rest,
    release: nothing,
    decide: async (situation) => {
      const files = new FileContents(situation.text.segmentBlockCount);
      await files.load(sessions.second, situation.summaries, situation.position.databaseOid);
      const question = questionOf(parent, situation, files);
      const right = await judge(sessions.second, question);
      answers.push(right);
      for (const names of [without, otherWithout]) {
        answers.push(judgeDoctored(names.reduce((before, name) => leaveOut(name, before, situation), question)));
      }
    },
  });
  const [right, wrong, otherWrong] = answers;
  const reasons = answers.map((one) => [...one.reasons].map(([reason, count]) => `${reason} ${count}`).join(", "));
  return {
    kept: compare(right!, parent, now),
    leftOut: compare(wrong!, parent, now),
    otherLeftOut: compare(otherWrong!, parent, now),
    reasons: reasons.join("; left out: "),
  };
}
