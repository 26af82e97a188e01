// Options of backup about the server's roles and tablespaces.

import type { GlobalsChoice } from "../operations/backup/types.ts";
import { hasFlag } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
import { refuseBoth } from "./common-flags.ts";
import type { FlagSpec } from "./verb.ts";

export const globalsFlags: readonly FlagSpec[] = [
  { long: "no-globals", description: "do not keep the roles and tablespaces that the database needs" },
  { long: "no-role-passwords", description: "keep roles without their password hashes" },
];

/** What is to come along. */
export function globalsChoiceOf(line: CommandLine): GlobalsChoice {
  refuseBoth(line, "no-globals", "no-role-passwords");
  if (hasFlag(line, "no-globals")) return "none";
  return hasFlag(line, "no-role-passwords") ? "without passwords" : "with passwords";
}
