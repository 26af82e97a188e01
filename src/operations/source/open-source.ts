// Opens the dump of a settled source, and checks what pg_dump really selected before anything is read of it.

import { checkEntries, entryOidsOf, openDump, toArguments, type Dump, type OpenDumpOptions } from "../../dump/index.ts";
import { formatVersion, openSession } from "../../postgres/index.ts";
import { beginPhase, warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";
import { refuseBlocking } from "./preflight.ts";
import type { SettledSource } from "./settle-source.ts";

/** Runs pg_dump through the relay and holds its snapshot. Throws "preflight_failed" when rows would be missing. */
export async function openSourceDump(
  context: OperationContext,
  source: SettledSource,
  onLocked: OpenDumpOptions["onLocked"] = () => {},
): Promise<Dump> {
  const { signal } = context;
  beginPhase(context, "contents", `reading the catalog with pg_dump ${formatVersion(source.pgDump.version)}`);
  const dump = await openDump({
    ...source,
    arguments: toArguments(source.flags),
    environment: context.environment,
    signal,
    onNotice: (message) => warn(context, { message }),
    onLocked,
  });
  try {
    await using session = await openSession(source.settings, { signal, applicationName: "cairn" });
    const largeObjectOids = dump.largeObjectBuckets.flatMap(({ oids }) => oids);
    const { server, flags } = source;
    const findings = await checkEntries(session, entryOidsOf(dump.toc, largeObjectOids), { server, flags, signal });
    refuseBlocking(findings);
    // Its other warnings were in the preflight.
    for (const { code, message, hint } of findings) if (code === "unchecked") warn(context, { message, hint });
    return dump;
  } catch (error) {
    await dump[Symbol.asyncDispose]();
    throw error;
  }
}
