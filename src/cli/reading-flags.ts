// What a backup reads, and what it takes over from the restore point before it without reading it.

import { OperatingError } from "../base/errors.ts";
import { READING_DEFAULTS, type ReadingSettings } from "../operations/backup/incremental/types.ts";
import { hasFlag, lastValue } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
import type { FlagSpec } from "./verb.ts";

const GROUP = "Incremental reading (PostgreSQL 17 and later, summarize_wal = on):";
const REREAD_EVERY_MAX = 1_000_000;

export const readingFlags: readonly FlagSpec[] = [
  { long: "full", description: "read everything, and trust the lineage again after a self-check failed", group: GROUP },
  {
    long: "checkpoint",
    value: "HOW",
    description:
      "how the WAL summaries come up to date: wait (for the next timed checkpoint, at most 6 minutes), now (ask for one; " +
      "needs pg_checkpoint) or none (read everything at once); default: wait where one is due in time",
    group: GROUP,
  },
  { long: "explain", description: "tell for each table why it was read or taken over", group: GROUP },
  {
    long: "reread",
    description:
      "self-check: read everything and compare it with what would have been taken over; a difference is exit 1",
    group: GROUP,
  },
  {
    long: "reread-every",
    value: "NUMBER",
    description: `do so by itself in every so many runs; 0: never (default: ${READING_DEFAULTS.rereadEvery})`,
    group: GROUP,
  },
];

/** How the run reads. Throws "usage" for values that make no sense. */
export function readingSettingsOf(line: CommandLine): ReadingSettings {
  if (hasFlag(line, "full") && hasFlag(line, "reread")) {
    throw new OperatingError("usage", "--full and --reread exclude each other", {
      hint: "Both read everything; --reread compares it with what would have been taken over, --full does not.",
    });
  }
  return {
    isFull: hasFlag(line, "full"),
    isReread: hasFlag(line, "reread"),
    rereadEvery: rereadEveryOf(line),
    checkpoint: checkpointOf(line),
    isExplained: hasFlag(line, "explain"),
  };
}

function checkpointOf(line: CommandLine): ReadingSettings["checkpoint"] {
  const text = lastValue(line, "checkpoint");
  if (text === null || text === "wait" || text === "now" || text === "none") return text;
  throw new OperatingError("usage", `--checkpoint must be wait, now or none, not "${text}"`);
}

function rereadEveryOf(line: CommandLine): number {
  const text = lastValue(line, "reread-every");
  if (text === null) return READING_DEFAULTS.rereadEvery;
  if (/^\d+$/.test(text) && Number(text) <= REREAD_EVERY_MAX) return Number(text);
  throw new OperatingError(
    "usage",
    `--reread-every must be a whole number from 0 to ${REREAD_EVERY_MAX}, not "${text}"`,
  );
}
