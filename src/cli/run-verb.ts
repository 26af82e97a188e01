// Runs one command: settings, operation, result. What is shared by all commands: JSON, progress, errors, exit status.

import { hasFlag } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
import { operationContext } from "./context.ts";
import { jsonText } from "./output/json.ts";
import { sanitizeText } from "./output/sanitize.ts";
import type { CairnProcess } from "./process.ts";
import { CLEAN_UP_TIMEOUT_MS, untilCleanedUp } from "./signals.ts";
import type { AnyVerb } from "./verb.ts";
import { secretsInWords } from "./visible-secrets.ts";

/** Runs the command; its exit status. Throws what went wrong. */
export async function runVerb(verb: AnyVerb, line: CommandLine, self: CairnProcess): Promise<number> {
  const isJson = hasFlag(line, "json");
  const display = self.showProgress(isJson || hasFlag(line, "quiet"));
  try {
    for (const notice of secretsInWords(line)) display.notify(notice);
    const caller = self.caller(display);
    const settings = await verb.readSettings(line, caller);
    const context = operationContext(caller, (event) => display.onEvent(event));
    const result = await untilCleanedUp(verb.run(context, settings, caller), caller.signal, CLEAN_UP_TIMEOUT_MS);
    display.close();
    await self.writeResult(isJson ? jsonText(result) : textOf(verb, result, self));
    return verb.exitStatus(result);
  } finally {
    display.close();
  }
}

/** Text in somebody else's format stays as it is unless a terminal would obey it. */
function textOf(verb: AnyVerb, result: unknown, self: CairnProcess): string {
  const text = verb.render(result);
  return verb.isExactText?.(result) === true && !self.isOutputTerminal ? text : sanitizeText(text);
}
