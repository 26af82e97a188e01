// The command `cairn`: reads the command line, runs one command, prints its result or what went wrong, and ends with
// its exit status.

import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";

import { parseCommandLine } from "./command-line.ts";
import { exitStatusOf } from "./exit-status.ts";
import { errorDocument, jsonText } from "./output/json.ts";
import { errorText } from "./output/messages.ts";
import { CairnProcess } from "./process.ts";
import { runVerb } from "./run-verb.ts";

// Beside src/ in a checkout and beside dist/ in the package.
const PACKAGE = new URL("../../package.json", import.meta.url);

function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(PACKAGE, "utf8")) as { version: string };
  return version;
}

async function main(words: readonly string[], self: CairnProcess): Promise<number> {
  try {
    const request = await parseCommandLine(words, packageVersion());
    if (request.kind === "run") return await runVerb(request.verb, request.line, self);
    await self.writeResult(request.text);
    return 0;
  } catch (error) {
    return await fail(error, words, self);
  }
}

async function fail(error: unknown, words: readonly string[], self: CairnProcess): Promise<number> {
  if (words.includes("--json")) await self.writeResult(jsonText(errorDocument(error)));
  else await self.writeError(errorText(error, self.isDebugging));
  return exitStatusOf(error);
}

// The launcher has this thread's heap begin large; those of other threads, which come later, are to begin as they do.
setFlagsFromString("--initial-old-space-size=0");

const self = new CairnProcess();
const words = process.argv.slice(2);
// Thrown where nobody waits for it, e.g. in a stream's listener: a defect, and the end.
process.on("uncaughtException", (error) => void fail(error, words, self).then((status) => self.end(status)));
self.end(await main(words, self));
