// Where the bundled pg_dump programs are: in the published package copied beside the compiled code
// (scripts/copy-bundled-pg-dump.mjs), in a checkout in node_modules. Why: docs/decisions/0002-bundled-pg-dump.md.

import { access, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { OperatingError } from "../../base/errors.ts";

/** Majors of which a pg_dump is bundled. */
export type BundledMajor = 17 | 18;

const PACKAGES = [
  { major: 17, name: "pglite-tools-17" },
  { major: 18, name: "@electric-sql/pglite-tools" },
] as const satisfies readonly { major: BundledMajor; name: string }[];

/** The ES module of each package that exports pgDump, and its program beside it. */
const MODULE_FILE = "pg_dump.js";
const PROGRAM_FILE = "pg_dump.wasm";

/** URL of the module that exports pgDump for this major. */
export async function bundledPackageUrl(major: BundledMajor): Promise<URL> {
  const candidates = candidateFolders(major);
  for (const folder of candidates) {
    const url = new URL(MODULE_FILE, folder);
    if (
      await access(url).then(
        () => true,
        () => false,
      )
    )
      return url;
  }
  throw new OperatingError("pg_dump_missing", `the bundled pg_dump ${major} is not in this installation`, {
    hint: "Install the package pgcairn again, or install PostgreSQL's own client tools.",
  });
}

function candidateFolders(major: BundledMajor): URL[] {
  const folders = [new URL(`./pg-dump-${major}/`, import.meta.url)];
  const name = PACKAGES.find((candidate) => candidate.major === major)!.name;
  try {
    folders.push(new URL("./", pathToFileURL(createRequire(import.meta.url).resolve(name))));
  } catch {
    // Not installed: the published package has the copy only.
  }
  return folders;
}

/** Major and full version of each bundled pg_dump that is there, as it says of itself, e.g. 18 and "18.3". */
export async function bundledPgDumpVersions(): Promise<{ major: BundledMajor; version: string }[]> {
  const found: { major: BundledMajor; version: string }[] = [];
  for (const { major } of PACKAGES) {
    const url = await bundledPackageUrl(major).catch(() => null); // it throws only when there is none
    if (url !== null) found.push({ major, version: versionIn(await readFile(new URL(PROGRAM_FILE, url)), major) });
  }
  return found;
}

/** The text that --version prints stands in the program as it is. */
function versionIn(program: Buffer, major: BundledMajor): string {
  const prefix = "pg_dump (PostgreSQL) ";
  const start = program.indexOf(prefix, 0, "latin1");
  const text = start < 0 ? "" : program.toString("latin1", start + prefix.length, start + prefix.length + 32);
  return /^\d+\.\d+/.exec(text)?.[0] ?? String(major);
}
