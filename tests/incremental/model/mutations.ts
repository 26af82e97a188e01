// Rules left out. Production code has no switches for that, so the rules are asked with doctored inputs that are the same as a
// judgement without the rule: a boundary that is not there, fingerprints made equal, rows of a summary withheld.

import { chooseBase, type RelationShape, type WalSummary } from "../../../src/incremental/index.ts";
import type { Question } from "./judgement.ts";
import type { Situation } from "./reading.ts";

type Doctor = (question: Question, now: Situation) => Question;

const LSN_MAX = 2n ** 64n - 1n;

const smaller = (one: bigint, other: bigint): bigint => (one < other ? one : other);

/** The files with a boundary at that LSN. */
function splitAt(summaries: readonly WalSummary[], lsn: bigint): WalSummary[] {
  return summaries.flatMap((one) => {
    if (one.startLsn >= lsn || one.endLsn <= lsn) return [one];
    return [
      { ...one, endLsn: lsn },
      { ...one, startLsn: lsn },
    ];
  });
}

/** The files with something fictitious wherever one is missing. */
function withoutGaps(summaries: readonly WalSummary[]): WalSummary[] {
  const filled: WalSummary[] = [];
  for (const one of summaries) {
    const reached = filled.at(-1)?.endLsn;
    if (reached !== undefined && reached < one.startLsn)
      filled.push({ ...one, startLsn: reached, endLsn: one.startLsn });
    filled.push(one);
  }
  return filled;
}

/** From another base, with whatever is needed for it to be a boundary. */
function withBase(question: Question, baseLsn: bigint | null): Question {
  if (baseLsn === null) return question;
  return {
    ...question,
    parent: { ...question.parent, baseLsn, summaryDigest: question.parent.summaryDigest ?? "" },
    summaries: splitAt(question.summaries, baseLsn),
  };
}

function withShapes(question: Question, change: (shape: RelationShape, oid: number) => RelationShape): Question {
  const changed = (shapes: ReadonlyMap<number, RelationShape>): Map<number, RelationShape> =>
    new Map([...shapes].map(([oid, shape]) => [oid, change(shape, oid)]));
  return { ...question, parentShapes: changed(question.parentShapes), shapes: changed(question.shapes) };
}

const logged = (shape: RelationShape): RelationShape =>
  shape.persistence === "u" ? { ...shape, persistence: "p", alwaysReadBecause: null } : shape;

/** Each rule of docs/formats/incremental.md that can be left out, by name, as a change of what the rules are given. */
export const MUTATIONS = {
  "base is the snapshot's LSN": (question) => withBase(question, question.parent.position.snapshotLsn),
  "base by xmax": (question) => {
    const { checkpoints, position } = question.parent;
    return withBase(question, chooseBase(checkpoints, { ...position, xmin: position.xmax }));
  },
  "summaries not waited for": (question, { summariesBefore }) => {
    const end = summariesBefore.at(-1)?.endLsn ?? 0n;
    const snapshotLsn = smaller(question.position.snapshotLsn, end);
    const { parent } = question;
    const then = { ...parent.position, snapshotLsn: smaller(parent.position.snapshotLsn, snapshotLsn) };
    return { ...question, parent: { ...parent, position: then }, position: { ...question.position, snapshotLsn } };
  },
  "gap ignored": (question) => ({ ...question, summaries: withoutGaps(question.summaries) }),
  "no seal": (question) => {
    const sealLsn = question.summaries.at(-1)?.endLsn ?? null;
    const { baseLsn } = question.parent;
    const unsealed = { ...question, parent: { ...question.parent, sealLsn, summaryDigest: "" } };
    return withBase({ ...unsealed, summaries: withoutGaps(question.summaries) }, baseLsn);
  },
  "redo beyond the snapshot's LSN": (question, { checkpoint }) => {
    const { checkpoints, position } = question.parent;
    const all = [...checkpoints, checkpoint];
    return withBase(question, chooseBase(all, { ...position, snapshotLsn: LSN_MAX }));
  },
  "no order": (question) => {
    const { parent, position } = question;
    const { xmin, snapshotLsn } = position;
    return { ...question, parent: { ...parent, position: { ...parent.position, xmin, snapshotLsn } } };
  },
  "columns not compared": (question) => withShapes(question, (shape) => ({ ...shape, columnFingerprint: "" })),
  "types not compared": (question) => withShapes(question, (shape) => ({ ...shape, typeFingerprint: "" })),
  "unlogged ignored": (question) => withShapes(question, logged),
  "unstable ignored": (question) => ({
    ...question,
    // As if what was seen after reading had been true all the time.
    parentShapes: new Map(
      [...question.parentShapes].map(([oid, shape]) => {
        return [oid, shape.isStable ? shape : { ...(question.shapes.get(oid) ?? shape), isStable: true }];
      }),
    ),
  }),
  "limit blocks ignored": (question) => ({
    ...question,
    touchedIn: (chosen) => question.touchedIn(chosen).map((file) => ({ ...file, limitBlock: null })),
  }),
  "filenode 0 ignored": (question) => ({
    ...question,
    touchedIn: (chosen) => question.touchedIn(chosen).filter(({ filenode }) => filenode !== 0),
  }),
  "file not compared": (question) =>
    withShapes(question, (shape, oid) => ({
      ...shape,
      filenode: question.shapes.get(oid)?.filenode ?? shape.filenode,
    })),
  "database not compared": (question) => withPosition(question, "databaseOid"),
  "settings not compared": (question) => withText(question, "settings"),
  "segment size not compared": (question) => withText(question, "segmentBlockCount"),
} satisfies Record<string, Doctor>;

export type MutationName = keyof typeof MUTATIONS;

function withPosition(question: Question, name: keyof Question["position"]): Question {
  const position = { ...question.parent.position, [name]: question.position[name] };
  return { ...question, parent: { ...question.parent, position } };
}

function withText(question: Question, name: keyof Question["text"]): Question {
  return {
    ...question,
    parent: { ...question.parent, text: { ...question.parent.text, [name]: question.text[name] } },
  };
}

/** The question without one rule. */
export function leaveOut(name: MutationName, question: Question, now: Situation): Question {
  const doctor: Doctor = MUTATIONS[name];
  return doctor(question, now);
}
