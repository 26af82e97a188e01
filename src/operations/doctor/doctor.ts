// doctor: looks at everything that a backup needs and changes nothing. What stops it from looking at all (no
// connection, wrong flags) is an error; everything else is a finding.

import type { PgDumpChoice, SelectionFlag } from "../../dump/index.ts";
import {
  availablePgDumps,
  checkFlagsKnown,
  choosePgDump,
  expandFilterFiles,
  parseSelectionFlags,
  poolerConsole,
  runPreflight,
} from "../../dump/index.ts";
import { isOperatingError } from "../../base/errors.ts";
import {
  describeConnection,
  describeEncryption,
  formatVersion,
  openSession,
  resolveConnection,
} from "../../postgres/index.ts";
import type { ConnectionSettings, ServerVersion, Session } from "../../postgres/index.ts";
import type { OperationContext } from "../operation.ts";
import { useOwnEncoding } from "../source/own-encoding.ts";
import { defaultLineageOf } from "../source/host-name.ts";
import { checkRepository } from "./check-repository.ts";
import { orderFindings } from "./order-findings.ts";
import type { DoctorReport, DoctorSettings, Finding } from "./types.ts";

/** Looks. Throws "usage", "connection_failed", "connection_lost", or the signal's reason. */
export async function runDoctor(context: OperationContext, settings: DoctorSettings): Promise<DoctorReport> {
  const { signal, environment, homeDirectory, userName } = context;
  const flags = await expandFilterFiles(parseSelectionFlags(settings.selection));
  const connection = await resolveConnection({ source: settings.source, environment, homeDirectory, userName });
  context.onEvent({ type: "phase", phase: "check", message: `looking at ${describeConnection(connection)}` });
  await using session = await openSession(connection, { signal, applicationName: "cairn" });
  const serverVersionText = session.connection.parameters.get("server_version") ?? "";
  const console = poolerConsole(serverVersionText);
  if (console !== null) return report(session, serverVersionText, null, [console]);

  const server = session.serverVersion;
  const findings = connection.warnings.map((message): Finding => ({
    severity: "warning",
    code: "connection",
    message,
  }));
  const choice = await choose(server, settings, context, findings);
  if (choice !== null) checkFlagsKnown(flags, choice.pgDump.version.major);
  const pgDump = choice?.pgDump ?? null;
  if (isTooOld(findings)) return report(session, serverVersionText, choice, findings);
  await useOwnEncoding(session);
  findings.push(...(await runPreflight(session, { server, pgDump, flags, signal })));
  if (settings.repository !== null) {
    context.onEvent({
      type: "phase",
      phase: "check",
      message: `looking at repository ${settings.repository.location}`,
    });
    const size = await sizeOf(session, connection, flags);
    const subject = { ...size, lineageName: defaultLineageOf(connection) };
    findings.push(...(await checkRepository(context, settings.repository, subject)));
  }
  return report(session, serverVersionText, choice, findings);
}

async function choose(
  server: ServerVersion,
  settings: DoctorSettings,
  context: OperationContext,
  findings: Finding[],
): Promise<PgDumpChoice | null> {
  try {
    const choice = choosePgDump(server, await availablePgDumps(settings.pgDump, context.environment));
    if (choice.warning !== null) findings.push({ severity: "warning", code: "pg-dump-newer", ...choice.warning });
    return choice;
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    const code = error.code === "server_version_unsupported" ? "server-version" : "pg-dump-missing";
    findings.push({ severity: "blocking", code, message: error.message, detail: error.detail, hint: error.hint });
    return null;
  }
}

function isTooOld(findings: readonly Finding[]): boolean {
  return findings.some(({ code }) => code === "server-version");
}

/** The whole database's size, an upper bound; null when it cannot be asked or only definitions are taken. */
async function sizeOf(
  session: Session,
  connection: ConnectionSettings,
  flags: readonly SelectionFlag[],
): Promise<{ databaseName: string; sizeBytes: number | null }> {
  const databaseName = connection.database;
  if (flags.some(({ name }) => name === "schema-only")) return { databaseName, sizeBytes: null };
  try {
    const { value } = await session.query("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())");
    return { databaseName, sizeBytes: value === null ? null : Number(value) };
  } catch (error) {
    if (!session.isConnected) throw error;
    return { databaseName, sizeBytes: null }; // the role may not ask; the space is then not judged
  }
}

function report(
  session: Session,
  serverVersion: string,
  choice: PgDumpChoice | null,
  findings: readonly Finding[],
): DoctorReport {
  const pgDump = choice?.pgDump;
  return {
    source: describeConnection(session.settings),
    encryption: describeEncryption(session.connection),
    serverVersion,
    pgDump:
      pgDump === undefined
        ? null
        : { version: formatVersion(pgDump.version), path: pgDump.kind === "installed" ? pgDump.path : null },
    findings: orderFindings(findings),
    isReady: findings.every(({ severity }) => severity !== "blocking"),
  };
}
