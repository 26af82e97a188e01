// `cairn show FILE`: the table of contents or the definitions of an archive as it lies on disk.

import { formatTocList } from "../../archive/index.ts";
import { OperatingError } from "../../base/errors.ts";
import { planRestore, planScratch } from "../../restore/index.ts";
import { openRestorableSource } from "../archive-source/index.ts";
import type { OperationContext } from "../operation.ts";
import { definitions, localTimeZoneName } from "./show.ts";
import type { ShowFileSettings, ShowResult } from "./types.ts";

/** Newer than every server: nothing is adapted. */
const NEWEST_SERVER = 990_000;

/** Shows one archive. Throws what opening it throws, and "usage" for what only a restore point can tell. */
export async function runShowFile(context: OperationContext, settings: ShowFileSettings): Promise<ShowResult> {
  const { file, tables, what } = settings;
  await using source = await openRestorableSource(file, context.signal);
  const { toc } = source.contents;
  if (what === "list") {
    return { what: "list", text: formatTocList(toc, { timeZoneName: localTimeZoneName() }) };
  }
  if (what !== "schema") {
    throw new OperatingError(
      "usage",
      `an archive does not tell its ${what === "globals" ? "globals" : "rows and sizes"}`,
      {
        hint: "Say --list or --schema; or import it into a repository, which counts its rows.",
      },
    );
  }
  const target = { version: NEWEST_SERVER };
  const plan =
    tables.length === 0
      ? planRestore(toc, { schemaOnly: true }, target)
      : planScratch(toc, { tables, databaseName: "scratch" }, target).plan;
  return { what: "schema", text: definitions(plan) };
}
