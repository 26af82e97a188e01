// Tags on a command line that choose restore points: KEY, or KEY=VALUE.

import { OperatingError } from "../base/errors.ts";
import type { TagPattern } from "../repository/index.ts";
import { allValues } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";

/** The patterns of a repeated option. Throws OperatingError "usage". */
export function tagsOf(line: CommandLine, name: string): TagPattern[] {
  return allValues(line, name).map((text) => {
    const equals = text.indexOf("=");
    if (text === "" || equals === 0)
      throw new OperatingError("usage", `--${name} must be KEY or KEY=VALUE, not "${text}"`);
    return equals < 0 ? { key: text, value: null } : { key: text.slice(0, equals), value: text.slice(equals + 1) };
  });
}
