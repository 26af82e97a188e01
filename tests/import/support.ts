// Archives of stock pg_dump on disk, and import over the repository of the matrix.

import { readFileSync } from "node:fs";

import { runImport, type ImportReceipt, type ImportSettings } from "../../src/operations/import/index.ts";
import { runShow, runShowFile } from "../../src/operations/show/index.ts";
import type { TestRepository } from "../matrix/support.ts";
import { runTool, type ClientTools, type TestDatabase } from "../support/servers.ts";

/** Imports an archive into the repository. */
export function importFile(
  repository: TestRepository,
  file: string,
  settings: Partial<ImportSettings> = {},
): Promise<ImportReceipt> {
  return runImport(repository.context(), { file, repository: repository.access, lineage: null, tags: {}, ...settings });
}

/** What `cairn show RP --list` prints. */
export async function listOf(repository: TestRepository, reference: string): Promise<string> {
  const settings = { repository: repository.access, reference, what: "list", tables: [] } as const;
  const result = await runShow(repository.context(), settings);
  if (result.what !== "list") throw new Error("show gives a list");
  return result.text;
}

/** What `cairn show FILE --list` prints. */
export async function listOfFile(repository: TestRepository, file: string): Promise<string> {
  const result = await runShowFile(repository.context(), { file, what: "list", tables: [] });
  if (result.what !== "list") throw new Error("show gives a list");
  return result.text;
}

/** A list without the lines that tell the format and compression of its file. */
export function withoutForm(list: string): string {
  return list.replaceAll(/^; +(?:Format|Compression): .*\n/gm, "");
}

/** Dumps a database into a file, with the stock pg_dump of its server's major. */
export async function dumpTo(
  database: TestDatabase,
  tools: ClientTools,
  { file, flags }: { readonly file: string; readonly flags: readonly string[] },
): Promise<string> {
  await runTool(tools.pgDump, [...flags, "-f", file, "-d", database.uri]);
  return file;
}

export function fixture(name: string): Buffer {
  return readFileSync(new URL(`../archive/fixtures/${name}`, import.meta.url));
}
