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

/** A wait as it is told: in a short line, which a terminal may cut off, and a note of what to say instead. */
export interface AnnouncedWait {
  readonly message: string;
  readonly note: { readonly message: string; readonly hint: string } | null;
}

/** The wait before the reading. */
export function waitBefore({ checkpoint, dueInMs, isStandby }: Omit<WaitSituation, "bytes">): AnnouncedWait {
  const limit = `at most ${formatDuration(SUMMARY_WAIT_LIMIT_MS)}`;
  if (checkpoint === "now" && !isStandby) {
    return { message: `asking for a checkpoint, and waiting for its WAL summaries: ${limit}`, note: null };
  }
  const isDue = dueInMs !== null && dueInMs <= SUMMARY_WAIT_LIMIT_MS;
  const due = isDue ? `, due within ${formatDuration(dueInMs)}` : "";
  return {
    message: `waiting for the ${ownerOf(isStandby)} next checkpoint${due}: ${limit}`,
    note: {
      message: "what has changed since the last backup is known only when the next checkpoint begins",
      hint: `${sooner(isStandby)}; --checkpoint none reads everything at once.`,
    },
  };
}

/** The wait after the reading. */
export function waitForSeal(
  { checkpoint, isStandby }: Pick<WaitSituation, "checkpoint" | "isStandby">,
  leftMs: number,
): AnnouncedWait {
  const limit = `at most ${formatDuration(leftMs)}`;
  if (checkpoint === "now" && !isStandby) {
    return { message: `waiting for the WAL summaries that the next backup needs: ${limit}`, note: null };
  }
  return {
    message: `all is stored; waiting for the ${ownerOf(isStandby)} next checkpoint: ${limit}`,
    note: {
      message: "the next backup need not read everything when a checkpoint has begun after this one's snapshot",
      hint: `${sooner(isStandby)}; --checkpoint none does without.`,
    },
  };
}

function ownerOf(isStandby: boolean): string {
  return isStandby ? "primary's" : "server's";
}

function sooner(isStandby: boolean): string {
  return isStandby ? "CHECKPOINT on the primary brings it at once" : "--checkpoint now asks for one";
}
