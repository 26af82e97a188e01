// Secrets in the words of a command can be read by everybody on the machine; the user is told.

import type { Notice } from "../operations/operation.ts";
import type { CommandLine } from "./command-line.ts";

const PASSWORD_IN_URI = /^postgres(?:ql)?:\/\/[^/@:]*:[^/@]+@/i;
const PASSWORD_SETTING = /(?:^|[\s?&])password\s*=\s*[^\s&]/i;

/** A warning when a connection string on the command line holds a password. */
export function secretsInWords(line: CommandLine): Notice[] {
  const words = [
    ...line.arguments,
    ...line.flags.flatMap(({ name, value }) => (name === "to" && value !== null ? [value] : [])),
  ];
  if (!words.some((word) => PASSWORD_IN_URI.test(word) || PASSWORD_SETTING.test(word))) return [];
  return [
    {
      severity: "warning",
      message: "a password on the command line can be read by every user of this machine",
      hint: "Put it into ~/.pgpass, or set PGPASSWORD.",
    },
  ];
}
