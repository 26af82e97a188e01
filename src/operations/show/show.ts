// `cairn show`: what is in a restore point: sizes and rows, the table of contents, the definitions.

import { randomBytes } from "node:crypto";
import { formatTocList } from "../../archive/index.ts";
import { OperatingError } from "../../base/errors.ts";
import { globalsText } from "../../globals/index.ts";
import type { Repository, RestorePoint } from "../../repository/index.ts";
import { planRestore, planScratch, type RestorePlan } from "../../restore/index.ts";
import { globalsFacts, globalsOf } from "../globals-facts.ts";
import { describeRestorePoint } from "../list/index.ts";
import { openRepositoryAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import { RestorePointContents } from "../restore-point-contents.ts";
import type { ShowResult, ShowSettings } from "./types.ts";

const RESTRICT_KEY_BYTES = 32;

/** Shows one restore point. Throws "restore_point_not_found", "ambiguous_reference", "usage". */
export async function runShow(context: OperationContext, settings: ShowSettings): Promise<ShowResult> {
  await using repository = await openRepositoryAt(settings.repository);
  const id = await repository.resolve(settings.reference, context.signal);
  const restorePoint = await repository.openRestorePoint(id, context.signal);
  if (settings.what === "summary") return await summarize(context, repository, restorePoint);
  if (settings.what === "globals") return { what: "globals", text: globalsTextOf(restorePoint) };
  const { toc } = await RestorePointContents.open(restorePoint);
  if (settings.what === "list")
    return { what: "list", text: formatTocList(toc, { timeZoneName: localTimeZoneName() }) };
  const target = { version: restorePoint.manifest.source.serverVersionNum };
  const { tables } = settings;
  const plan =
    tables.length === 0
      ? planRestore(toc, { schemaOnly: true }, target)
      : planScratch(toc, { tables, databaseName: "scratch" }, target).plan;
  return { what: "schema", text: definitions(plan) };
}

/** The statements of a plan as SQL text, those of data left out. */
export function definitions(plan: RestorePlan): string {
  const tasks = [...plan.serial, ...plan.parallel].filter((task) => task.isWanted && task.load === null);
  const statements = tasks.flatMap((task) => task.statements.map(({ sql }) => sql.trim()));
  return statements
    .filter((sql) => sql !== "")
    .map((sql) => `${sql}\n`)
    .join("\n");
}

function globalsTextOf({ manifest }: RestorePoint): string {
  const globals = globalsOf(manifest);
  if (globals?.textEncoding === "latin1") {
    throw new OperatingError("value_too_large", "names of roles are no UTF-8 text", {
      detail: `They were read in the encoding ${globals.clientEncoding}.`,
      hint: "cairn restore --cluster makes them as they were.",
    });
  }
  if (globals !== null) {
    return globalsText(globals, { restrictKey: randomBytes(RESTRICT_KEY_BYTES).toString("hex") });
  }
  throw new OperatingError("not_found", `restore point ${manifest.id} carries no roles and tablespaces`, {
    hint: "Its backup was told --no-globals, or could not read them; pg_dumpall --globals-only asks the source.",
  });
}

async function summarize(
  context: OperationContext,
  repository: Repository,
  restorePoint: RestorePoint,
): Promise<ShowResult> {
  const { manifest } = restorePoint;
  const globals = globalsOf(manifest);
  const selection = manifest.options["selection"];
  const marks = await repository.marks([manifest.id], context.signal);
  return {
    what: "summary",
    restorePoint: describeRestorePoint(manifest, marks.get(manifest.id)),
    pgDump: `${manifest.tool.pgDumpVersion} (${manifest.tool.pgDumpPath ?? "bundled"})`,
    options: Array.isArray(selection) ? selection.map(String) : [],
    warnings: manifest.warnings,
    tables: manifest.relations.map(({ namespace, name, rowCount, rawBytes, sealedBytes }) => {
      return { name: `${namespace}.${name}`, rowCount, rawBytes, sealedBytes };
    }),
    largeObjectCount: manifest.totals.largeObjects,
    globals: globals === null ? null : globalsFacts(globals),
    cluster: manifest.cluster ?? null,
  };
}

/** As strftime's %Z prints it beside the archive's time. */
export function localTimeZoneName(): string {
  const parts = new Intl.DateTimeFormat("en-US", { timeZoneName: "short" }).formatToParts(new Date());
  return parts.find(({ type }) => type === "timeZoneName")?.value ?? "UTC";
}
