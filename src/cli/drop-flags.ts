// How much less than before a backup may hold without a word.

import { OperatingError } from "../base/errors.ts";
import { DROP_LIMITS_DEFAULT, type DropLimits } from "../operations/backup/drops.ts";
import { lastValue } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
import type { FlagSpec } from "./verb.ts";

const { totalPercent, tablePercent } = DROP_LIMITS_DEFAULT;

export const dropFlags: readonly FlagSpec[] = [
  {
    long: "max-drop",
    value: "PERCENT",
    description: `rows, bytes or large objects that may be gone since the last restore points, or "off" (default: ${totalPercent})`,
  },
  {
    long: "max-table-drop",
    value: "PERCENT",
    description: `rows that may be gone from one table of 1,000 or more, or "off" (default: ${tablePercent})`,
  },
];

/** The limits, the defaults where nothing is said. */
export function dropLimitsOf(line: CommandLine): DropLimits {
  return {
    totalPercent: percentOf(line, "max-drop", totalPercent),
    tablePercent: percentOf(line, "max-table-drop", tablePercent),
  };
}

function percentOf(line: CommandLine, name: string, otherwise: number | null): number | null {
  const text = lastValue(line, name);
  if (text === null) return otherwise;
  if (text === "off") return null;
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value <= 100) return value;
  throw new OperatingError("usage", `--${name} must be a percentage from 0 to 100, or off, not "${text}"`);
}
