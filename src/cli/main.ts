// The command `cairn`: reads the command line, runs one command, prints its result or what went wrong, and ends with
// its exit status.

import { readFileSync } from "node:fs";
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
    if (words.includes("--json")) await self.writeResult(jsonText(errorDocument(error)));
    else await self.writeError(errorText(error, self.isDebugging));
    return exitStatusOf(error);
  }
}

const self = new CairnProcess();
self.end(await main(process.argv.slice(2), self));
