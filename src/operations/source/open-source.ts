// Opens the dump of a settled source. The preflight goes on beside pg_dump, which takes longer: what it refuses ends
// pg_dump, and is what is told. Then what pg_dump really selected is checked, before anything is read of it.

import { checkEntries, entryOidsOf, openDump, toArguments, type Dump } from "../../dump/index.ts";
import { formatVersion, openSession } from "../../postgres/index.ts";
import { beginPhase, warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";
import { passPreflight, refuseBlocking } from "./preflight.ts";
import type { SettledSource } from "./settle-source.ts";

/** A dump, and what was found that does not stand in its way. */
export interface OpenedSource {
  readonly dump: Dump;
  /** Of the preflight; they were reported. */
  readonly warnings: readonly string[];
}

/** Runs pg_dump through the relay and holds its snapshot. Throws "preflight_failed" when rows would be missing. */
export async function openSourceDump(context: OperationContext, source: SettledSource): Promise<OpenedSource> {
  beginPhase(context, "contents", `reading the catalog with pg_dump ${formatVersion(source.pgDump.version)}`);
  const refused = new AbortController();
  const signal = AbortSignal.any([context.signal, refused.signal]);
  const opening = openDump({
    ...source,
    arguments: toArguments(source.flags),
    environment: context.environment,
    signal,
    onNotice: (message) => warn(context, { message }),
  });
  opening.catch(() => {}); // thrown where it is awaited
  let dump: Dump | null = null;
  try {
    const warnings = await passPreflight(context, source);
    dump = await opening;
    await checkSelected(context, source, dump);
    return { dump, warnings };
  } catch (error) {
    refused.abort();
    dump ??= await opening.catch(() => null);
    await dump?.[Symbol.asyncDispose]();
    throw error;
  }
}

async function checkSelected(context: OperationContext, source: SettledSource, dump: Dump): Promise<void> {
  const { signal } = context;
  await using session = await openSession(source.settings, { signal, applicationName: "cairn" });
  const largeObjectOids = dump.largeObjectBuckets.flatMap(({ oids }) => oids);
  const { server, flags } = source;
  const findings = await checkEntries(session, entryOidsOf(dump.toc, largeObjectOids), { server, flags, signal });
  refuseBlocking(findings);
  // Its other warnings were in the preflight.
  for (const { code, message, hint } of findings) if (code === "unchecked") warn(context, { message, hint });
}
