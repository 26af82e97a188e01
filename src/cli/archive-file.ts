// Where a command takes a restore point or an archive file: which of them a word means.

import { existsSync } from "node:fs";
import { lastValue } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
import { referenceArgument } from "./common-flags.ts";
import type { ArgumentSpec } from "./verb.ts";

export const referenceOrFileArgument: ArgumentSpec = {
  name: "RP|FILE",
  description: `${referenceArgument.description}; or, without --repo, an archive of pg_dump: a file or a folder`,
  isRequired: true,
};

/** "latest", IDs, and what ends with a time or "latest" after an "@". */
const REFERENCE = /^(?:.*@)?(?:latest|\d{4}-?\d{2}-?\d{2}.*)$/;

/** The archive that the first word names; null when it names a restore point. */
export function archiveFileOf(line: CommandLine): string | null {
  const word = line.arguments[0] ?? "";
  if (lastValue(line, "repo") !== null || word === "") return null;
  const isPath = word.startsWith("/") || word.startsWith("./") || word.startsWith("../");
  if (isPath) return word;
  return !REFERENCE.test(word) && existsSync(word) ? word : null;
}
