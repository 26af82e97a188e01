// Whether a run waits for the checkpoint that brings WAL summaries up to its snapshot (pure). Source: docs/operating/incremental.md.

import { formatDuration, formatSize, GIB } from "../../../base/units.ts";
import { SUMMARY_WAIT_LIMIT_MS } from "../../../incremental/index.ts";
import type { ReadingSettings } from "./types.ts";

/** So much is worth waiting for as long as is waited at all, even where a timed checkpoint is not due before. */
const MUCH_BYTES_MIN = GIB;

/** What is known before it is waited. */
export interface WaitSituation {
  readonly checkpoint: ReadingSettings["checkpoint"];
  /** What would be read. */
  readonly bytes: number;
  /** The next timed checkpoint comes in so much time at the latest; null: not known. */
  readonly dueInMs: number | null;
  /** Only its primary's checkpoints count, and nobody here can ask for one. */
  readonly isStandby: boolean;
}

/** Why a checkpoint is not waited for; null: it is. */
export function notWaitedBecause({ bytes, checkpoint, dueInMs }: WaitSituation): string | null {
  if (checkpoint === "wait" || checkpoint === "now") return null;
  if (checkpoint === "none") return "with --checkpoint none no checkpoint is waited for";
  if (isMuch(bytes)) return null;
  if (bytes === 0) return "there are no rows to be waited for";
  if (checkpoint === "where much is read") {
    return `of a whole server, databases of less than ${formatSize(MUCH_BYTES_MIN)} wait for no checkpoint; --checkpoint now asks for one`;
  }
  if (dueInMs === null || dueInMs <= SUMMARY_WAIT_LIMIT_MS) return null;
  return `the next timed checkpoint is due in ${formatDuration(dueInMs)} only; --checkpoint now asks for one`;
}

/** Whether it is so much that a checkpoint is waited for in any case. */
export function isMuch(bytes: number): boolean {
  return bytes >= MUCH_BYTES_MIN;
}

const ON_PRIMARY = "CHECKPOINT on the primary brings it at once";

/** What is waited for before the reading, how long at most, and what to say instead. */
export function waitingText({ checkpoint, dueInMs, isStandby }: Omit<WaitSituation, "bytes">): string {
  if (checkpoint === "now" && !isStandby)
    return "asking the server for a checkpoint, and waiting for its WAL summaries";
  const limit = formatDuration(SUMMARY_WAIT_LIMIT_MS);
  const isDue = dueInMs !== null && dueInMs <= SUMMARY_WAIT_LIMIT_MS;
  const due = isDue ? `, due within ${formatDuration(dueInMs)}` : "";
  const instead = isStandby ? ON_PRIMARY : "--checkpoint now asks for one";
  const whose = isStandby ? "primary's" : "server's";
  return `waiting for the ${whose} next checkpoint${due}, and WAL summaries: at most ${limit} (${instead}, --checkpoint none reads everything at once)`;
}

/** The same after the reading, for the seal. */
export function sealText({ checkpoint, isStandby }: Omit<WaitSituation, "bytes" | "dueInMs">, leftMs: number): string {
  const until = `at most ${formatDuration(leftMs)}`;
  if (checkpoint === "now" && !isStandby) return `waiting for the WAL summaries that the next backup needs: ${until}`;
  const instead = isStandby ? ON_PRIMARY : "--checkpoint now asks for one";
  const whose = isStandby ? "primary's" : "server's";
  return `all is stored; waiting for the ${whose} next checkpoint, so that the next backup need not read everything: ${until} (${instead}, --checkpoint none does without)`;
}
