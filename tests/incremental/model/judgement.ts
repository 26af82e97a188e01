// Asks the rules which segments of a run would be taken over from a parent, and holds these against a full read in the same
// snapshot. `judge()` is the product's way; `judgeDoctored()` asks the same functions with inputs that leave one rule out.

import {
  digestSummaries,
  judgeDigest,
  judgeRelation,
  judgeRun,
  readTouched,
  segmentCountOf,
  touchedBlocks,
  type IncrementalRecord,
  type RelationShape,
  type ServerPosition,
  type TextShape,
  type TouchedFile,
  type WalSummary,
} from "../../../src/incremental/index.ts";
import type { Session } from "../../../src/postgres/index.ts";
import { known, SEGMENT_BLOCK_COUNT, signal, type Reading, type Situation } from "./reading.ts";

/** What the rules are given. */
export interface Question {
  readonly parent: IncrementalRecord;
  readonly parentShapes: ReadonlyMap<number, RelationShape>;
  readonly position: ServerPosition;
  readonly text: TextShape;
  readonly summaries: readonly WalSummary[];
  readonly shapes: ReadonlyMap<number, RelationShape>;
  /** What the files say that hold WAL of these ranges. */
  touchedIn(summaries: readonly WalSummary[]): readonly TouchedFile[];
}

/** What the rules answered: by OID, the segments to be taken over. */
export interface Answers {
  readonly takenOver: ReadonlyMap<number, readonly number[]>;
  /** Count of segments by the reason why they are read. */
  readonly reasons: ReadonlyMap<string, number>;
}

/** The question of a run to one of its parents. */
export function questionOf(parent: Reading, now: Situation, files: FileContents): Question {
  const { position, text, summaries, shapes } = now;
  const touchedIn = (chosen: readonly WalSummary[]): readonly TouchedFile[] => files.ofRanges(chosen, summaries);
  return { parent: parent.record, parentShapes: parent.shapes, position, text, summaries, shapes, touchedIn };
}

/** The product's way: the digest is compared, the chosen files are read in one statement. */
export async function judge(second: Session, question: Question): Promise<Answers> {
  const { parent, position, text, summaries } = question;
  const verdict = judgeRun(parent, { position, text }, summaries);
  if (verdict.kind === "read-all") return readAll(question, verdict.reason);
  const { databaseOid } = position;
  const digest = await digestSummaries(second, verdict.sealedSummaries, databaseOid, signal);
  if (digest.kind === "unknown") return readAll(question, digest.reason);
  const objection = judgeDigest(parent, digest.value);
  if (objection !== null) return readAll(question, objection);
  const options = { databaseOid, segmentBlockCount: text.segmentBlockCount, signal };
  const touched = await readTouched(second, verdict.summaries, options);
  if (touched.kind === "unknown") return readAll(question, touched.reason);
  return judgeRelations(question, touched.value);
}

/** The same without asking a server: for doctored questions, whose digests and files may be fictitious. */
export function judgeDoctored(question: Question): Answers {
  const { parent, position, text, summaries } = question;
  const verdict = judgeRun(parent, { position, text }, summaries);
  if (verdict.kind === "read-all") return readAll(question, verdict.reason);
  return judgeRelations(question, question.touchedIn(verdict.summaries));
}

function readAll({ shapes, text }: Question, reason: string): Answers {
  let count = 0;
  for (const { blockCount } of shapes.values()) count += segmentCountOf(blockCount, text.segmentBlockCount);
  return { takenOver: new Map(), reasons: new Map([[withoutPlaces(reason), count]]) };
}

/** A reason without its LSNs and numbers, to be counted. */
function withoutPlaces(reason: string): string {
  return reason.replace(/[:,(].*| from [0-9A-F]+\/.*/s, "");
}

function judgeRelations({ parentShapes, shapes, text }: Question, files: readonly TouchedFile[]): Answers {
  const { segmentBlockCount } = text;
  const touched = touchedBlocks(files);
  const takenOver = new Map<number, number[]>();
  const reasons = new Map<string, number>();
  const count = (reason: string, by: number): void => void reasons.set(reason, (reasons.get(reason) ?? 0) + by);
  for (const [oid, shape] of shapes) {
    const segmentCount = segmentCountOf(shape.blockCount, segmentBlockCount);
    const parent = parentShapes.get(oid);
    if (parent === undefined) {
      count("not in the parent", segmentCount);
      continue;
    }
    const verdict = judgeRelation(parent, shape, touched, segmentBlockCount);
    if (verdict.kind === "read-all") {
      count(verdict.reason, segmentCount);
      continue;
    }
    const taken: number[] = [];
    for (let index = 0; index < segmentCount; index += 1) {
      const reason = verdict.readSegments.get(index);
      if (reason === undefined) taken.push(index);
      else count(reason, 1);
    }
    takenOver.set(oid, taken);
  }
  return { takenOver, reasons };
}

/** Segments that would be taken over, and those of them that a full read now gives otherwise than the parent's did. */
export interface Comparison {
  readonly takenOverCount: number;
  /** `OID/segment` */
  readonly wrong: readonly string[];
}

/** Holds what would be taken over against what was read. */
export function compare(answers: Answers, parent: Reading, now: Reading): Comparison {
  let takenOverCount = 0;
  const wrong: string[] = [];
  for (const [oid, segments] of answers.takenOver) {
    // Read in an unstable time: all of it is read, whatever was planned.
    if (now.shapes.get(oid)?.isStable !== true) continue;
    takenOverCount += segments.length;
    const [then, today] = [parent.hashes.get(oid) ?? [], now.hashes.get(oid) ?? []];
    for (const index of segments) {
      const isSame = then[index] !== undefined && then[index] === today[index];
      if (!isSame) wrong.push(`${oid}/${index}`);
    }
  }
  return { takenOverCount, wrong };
}

/** What each summary file says, asked once: for doctored questions, many of which are asked each round. */
export class FileContents {
  readonly #known = new Map<string, readonly TouchedFile[]>();
  readonly #segmentBlockCount: number;

  constructor(segmentBlockCount = SEGMENT_BLOCK_COUNT) {
    this.#segmentBlockCount = segmentBlockCount;
  }

  /** Asks for files that are not known yet. */
  async load(second: Session, summaries: readonly WalSummary[], databaseOid: number): Promise<void> {
    for (const summary of summaries) {
      const key = keyOf(summary);
      if (this.#known.has(key)) continue;
      const options = { databaseOid, segmentBlockCount: this.#segmentBlockCount, signal };
      this.#known.set(key, known(await readTouched(second, [summary], options)));
    }
  }

  /** Another history may have other files of the same names. */
  forget(): void {
    this.#known.clear();
  }

  /** What those of the real files say that hold any WAL of the ranges. */
  ofRanges(ranges: readonly WalSummary[], files: readonly WalSummary[]): readonly TouchedFile[] {
    const chosen = files.filter((file) =>
      ranges.some(({ startLsn, endLsn }) => startLsn < file.endLsn && endLsn > file.startLsn),
    );
    return chosen.flatMap((file) => this.#known.get(keyOf(file)) ?? []);
  }
}

const keyOf = ({ timeline, startLsn, endLsn }: WalSummary): string => `${timeline} ${startLsn} ${endLsn}`;
