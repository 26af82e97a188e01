// Decides how a run reads: which segments it may take over from its parent, whether it reads them all the same to compare,
// or why it reads everything. Source: docs/formats/incremental.md, the order of a run.

import { formatDuration } from "../../../base/units.ts";
import type { Dump } from "../../../dump/index.ts";
import { listSummaries, readCheckpointDue, type Answer, type IncrementalRecord } from "../../../incremental/index.ts";
import type { RestorePoint } from "../../../repository/index.ts";
import type { OperationContext } from "../../operation.ts";
import type { SettledSource } from "../../source/settle-source.ts";
import { judgeParent, objectionTo, viewParent, type Judgement, type ParentView } from "./judge-parent.ts";
import type { ServerLife } from "./server-life.ts";
import type { ServerView } from "./server-view.ts";
import { announce, SummariesAwaited } from "./summary-wait.ts";
import type { ReadingSettings } from "./types.ts";
import { notWaitedBecause, waitBefore, type WaitSituation } from "./wait-choice.ts";

const BLOCK_SIZE_BYTES = 8192;

/** What a run's reading is planned by. */
export interface ReadingParts {
  readonly source: SettledSource;
  readonly dump: Dump;
  /** Begun before the snapshot. */
  readonly life: ServerLife;
  /** Begun when the locks were held. */
  readonly view: Promise<Answer<ServerView>>;
  readonly parent: RestorePoint | null;
  readonly settings: ReadingSettings;
}

/** How a run reads. */
export interface ReadingPlan {
  readonly parent: ParentView;
  /** Null: incremental reading is not possible here. */
  readonly server: ServerView | null;
  /** Null: nothing may be taken over. */
  readonly judgement: Judgement | null;
  /** Why everything is read; null: it is not, or only to be compared. */
  readonly allReadBecause: string | null;
  /** True: what may be taken over is read all the same, and compared. */
  readonly isCompared: boolean;
  /** Null: there is nothing to wait for. */
  readonly wait: SummariesAwaited | null;
  /** Whether that is waited for when everything was read. Left open (null): where much was read. */
  readonly waitsAfter: boolean | null;
}

/** Plans a run. Throws only when the operation is cancelled. */
export async function planReading(context: OperationContext, parts: ReadingParts): Promise<ReadingPlan> {
  const { source, life, settings } = parts;
  const parent = viewParent(parts.parent);
  const viewed = await parts.view;
  if (viewed.kind === "unknown") {
    await life[Symbol.asyncDispose]();
    const nothing = { judgement: null, isCompared: false, wait: null, waitsAfter: false };
    return { parent, server: null, allReadBecause: viewed.reason, ...nothing };
  }
  const server = viewed.value;
  const mode = settings.checkpoint === "now" ? "now" : "wait";
  const wait = new SummariesAwaited(context, { source, server, mode });
  const situation = await readSituation(context, parts, server);
  const judged = await judge(context, { ...parts, parent, server, wait, situation });
  const isJudged = judged.kind === "known";
  return {
    parent,
    server,
    judgement: isJudged ? judged.value : null,
    allReadBecause: isJudged ? null : judged.reason,
    isCompared: isJudged && isSelfCheck(settings, parent.record),
    wait,
    waitsAfter: waitsAfter({ settings, parent, wait, situation }),
  };
}

/** When the next checkpoint is due is asked only where it decides. */
async function readSituation(
  { signal }: OperationContext,
  parts: ReadingParts,
  server: ServerView,
): Promise<WaitSituation> {
  const { life, settings } = parts;
  const { checkpoint } = settings;
  const asksWhen = checkpoint === null || checkpoint === "wait";
  const due = asksWhen ? await life.ask((session) => readCheckpointDue(session, signal)) : null;
  const dueInMs = due?.kind === "known" ? due.value : null;
  const isStandby = server.position.hostRole === "standby";
  return { checkpoint, bytes: sizeBytes({ ...parts, server }), dueInMs, isStandby };
}

/** A seal is of no use to a run that waited for it before, nor where the next one reads everything all the same. */
function waitsAfter(facts: Pick<Judging, "settings" | "parent" | "wait" | "situation">): boolean | null {
  const { parent, settings, situation, wait } = facts;
  const isDistrusted = parent.distrustedBecause !== null && !settings.isFull;
  if (wait.facts.beforeReadingMs > 0 || isDistrusted || settings.checkpoint === "none") return false;
  return notWaitedBecause(situation) === null || null;
}

interface Judging extends Omit<ReadingParts, "parent"> {
  readonly parent: ParentView;
  readonly server: ServerView;
  readonly wait: SummariesAwaited;
  readonly situation: WaitSituation;
}

async function judge(context: OperationContext, judging: Judging): Promise<Answer<Judgement>> {
  const { life, dump, server, settings, wait, situation } = judging;
  const { record, restorePoint, distrustedBecause } = judging.parent;
  const { signal } = context;
  if (settings.isFull) return no("--full asks for it");
  if (restorePoint === null) return no("it is the first restore point of its lineage");
  if (distrustedBecause !== null) return no(`incremental reading is off until a run with --full: ${distrustedBecause}`);
  if (record === null) return no("its parent recorded nothing for incremental reading");
  const summaries = await life.ask((session) => {
    return listSummaries(session, server.position.timeline, signal);
  });
  if (summaries.kind === "unknown") return summaries;
  const objection = objectionTo(record, server, summaries.value);
  if (objection !== null) return no(objection);
  const isReached = summaries.value.some(({ endLsn }) => endLsn >= server.position.snapshotLsn);
  if (!isReached) {
    const reason = notWaitedBecause(situation);
    if (reason !== null) return no(reason);
    announce(context, "summaries", waitBefore(situation));
    const { missedBecause } = await wait.before();
    if (missedBecause !== null) {
      return no(`${missedBecause} (waited ${formatDuration(wait.facts.beforeReadingMs)})`);
    }
  }
  const { tables } = dump;
  return await life.ask(async (session) => {
    return await judgeParent(session, record, { server, parent: restorePoint, tables, signal });
  });
}

/** Of tables and large objects, without what is stored beside them, or of the parent's data: whichever is more. */
function sizeBytes({ dump, parent, server }: Pick<ReadingParts, "dump" | "parent"> & { server: ServerView }): number {
  const largeObjectBlockCount = server.largeObjects?.blockCount ?? 0;
  const blockCount = dump.tables.reduce((sum, { relation }) => sum + relation.blockCount, largeObjectBlockCount);
  return Math.max(blockCount * BLOCK_SIZE_BYTES, parent?.manifest.totals.rawBytes ?? 0);
}

function isSelfCheck({ isReread, rereadEvery }: ReadingSettings, record: IncrementalRecord | null): boolean {
  const isDue = rereadEvery > 0 && record !== null && record.runsSinceFullRead + 1 >= rereadEvery;
  return isReread || isDue;
}

function no(reason: string): Answer<never> {
  return { kind: "unknown", reason };
}
