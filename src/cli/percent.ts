// Options whose value is a part of a whole: `10%`, `0.5%`, `100%`.

import { OperatingError } from "../base/errors.ts";
import { lastValue } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";

/** The part as a number from 0 to 1; null when the option was not given. Throws OperatingError "usage". */
export function percentOf(line: CommandLine, name: string): number | null {
  const text = lastValue(line, name);
  if (text === null) return null;
  const match = /^(\d{1,3}(?:\.\d{1,6})?)%$/.exec(text);
  const percent = Number(match?.[1] ?? Number.NaN);
  if (percent <= 100) return percent / 100;
  throw new OperatingError("usage", `--${name} must be from 0% to 100%, not "${text}"`);
}
