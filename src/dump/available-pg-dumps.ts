// Every pg_dump that could be used: installed ones found, and those that come with Cairn.

import { OperatingError } from "../base/errors.ts";
import { parseVersionText } from "../postgres/index.ts";
import { bundledPgDumpVersions } from "./bundled/index.ts";
import type { AvailablePgDump, BundledPgDump } from "./choose-pg-dump.ts";
import { findInstalledPgDumps, inspectPgDump } from "./installed/find.ts";

/** What a person may say of the pg_dump to be used: nothing, "bundled", or a program's path. */
export type PgDumpRequest = string | null;

/** The pg_dumps to choose from. Throws "pg_dump_missing" when the one asked for is not there. */
export async function availablePgDumps(
  request: PgDumpRequest,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<AvailablePgDump[]> {
  if (request === "bundled") {
    const bundled = await findBundledPgDumps();
    if (bundled.length > 0) return bundled;
    throw new OperatingError("pg_dump_missing", "no pg_dump is bundled with this installation", {
      hint: "Install Cairn from its npm package, or leave --pg-dump out to use an installed one.",
    });
  }
  if (request !== null) return [await inspectPgDump(request)];
  return [...(await findInstalledPgDumps(environment)), ...(await findBundledPgDumps())];
}

async function findBundledPgDumps(): Promise<BundledPgDump[]> {
  const versions = await bundledPgDumpVersions();
  return versions.map(({ version }) => ({ kind: "bundled", version: parseVersionText(version) }));
}
