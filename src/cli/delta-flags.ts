// Where a changed chunk is stored as a delta of the one before, which has to be read back for that.

import { OperatingError } from "../base/errors.ts";
import type { DeltaChoice } from "../operations/backup/delta-bases.ts";
import { lastValue } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
import type { FlagSpec } from "./verb.ts";

export const deltaFlag: FlagSpec = {
  long: "deltas",
  value: "WHERE",
  description:
    "store changed chunks as deltas of those before, which are read back: auto (default: not where the storage's " +
    "provider charges for reading, and no longer than it is quick), always or never",
};

/** Throws "usage" for another word. */
export function deltaChoiceOf(line: CommandLine): DeltaChoice {
  const text = lastValue(line, "deltas") ?? "auto";
  if (text === "auto" || text === "always" || text === "never") return text;
  throw new OperatingError("usage", `--deltas must be auto, always or never, not "${text}"`);
}
