// Everything that can be looked at before a backup begins: each check by itself, so that one that fails (a managed
// server, a strange version) is a warning and the others still run.

import { isOperatingError } from "../../base/errors.ts";
import type { Toc, TocEntry } from "../../archive/index.ts";
import { quoteLiteral } from "../../postgres/index.ts";
import type { ServerVersion, Session } from "../../postgres/index.ts";
import type { AvailablePgDump } from "../choose-pg-dump.ts";
import type { SelectionFlag } from "../selection-flags.ts";
import { summarizeFlags } from "../selection-flags.ts";
import * as notes from "./catalog-notes.ts";
import { checkCharValues } from "./char-values.ts";
import type { Ask, Check } from "./check.ts";
import { inTransaction, runCheck, uncheckedFinding } from "./check.ts";
import type { Finding, QualifiedName } from "./finding.ts";
import { checkLargeObjects } from "./large-objects.ts";
import { checkLocks, checkLockSlots, checkLongTransactions } from "./locks.ts";
import { checkPooler } from "./pooler.ts";
import type { PrivilegeScope } from "./privileges.ts";
import { checkRelationPrivileges } from "./privileges.ts";
import { checkRestoreHazards } from "./restore-hazards.ts";
import type { RoleFacts } from "./role.ts";
import { checkSetRole, missingRole, readRole } from "./role.ts";
import { checkRowSecurity } from "./row-security.ts";
import type { SelectedRelations } from "./selected-relations.ts";
import { selectRelations } from "./selected-relations.ts";
import { checkOldSnapshotThreshold, checkStandby, checkTimeLimits } from "./server-settings.ts";
import { checkVersions } from "./tool-version.ts";
import { checkWalSummaries } from "./wal-summaries.ts";

/** What runPreflight() looks at. */
export interface PreflightOptions {
  readonly server: ServerVersion;
  /** Null: none was found, which the caller reports; the rest is checked all the same. */
  readonly pgDump: AvailablePgDump | null;
  readonly flags: readonly SelectionFlag[];
  readonly signal?: AbortSignal | undefined;
}

/** What pg_dump's own table of contents names. */
export interface EntryOids {
  readonly tableOids: readonly number[];
  /** Tables whose rows are read; looked at for row security too. */
  readonly dataOids: readonly number[];
  readonly sequenceOids: readonly number[];
  /** Sequences by name, since SEQUENCE SET entries hold no OID. */
  readonly sequenceNames: readonly QualifiedName[];
  readonly largeObjectOids: readonly number[];
}

/** What a table of contents names; the OIDs of large objects are not in it. */
export function entryOidsOf(toc: Toc, largeObjectOids: readonly number[]): EntryOids {
  const entriesOf = (description: string): TocEntry[] =>
    toc.entries.filter((entry) => entry.description === description);
  const oidsOf = (description: string): number[] => entriesOf(description).map(({ catalogId }) => catalogId.oid);
  const sequenceNames = entriesOf("SEQUENCE SET").map(({ namespace, tag }) => ({ schema: namespace ?? "", name: tag }));
  return {
    tableOids: oidsOf("TABLE").filter((oid) => oid > 0),
    dataOids: oidsOf("TABLE DATA").filter((oid) => oid > 0),
    sequenceOids: [],
    sequenceNames,
    largeObjectOids,
  };
}

interface Place {
  readonly session: Session;
  readonly signal: AbortSignal | undefined;
  readonly findings: Finding[];
}

/**
 * Checks an idle session's server, role and database against what a backup with these flags needs. The session is left
 * as it was. Findings of severity "blocking" would make the backup incomplete or impossible. Throws when the
 * session is lost or the signal aborted.
 */
export async function runPreflight(session: Session, options: PreflightOptions): Promise<Finding[]> {
  const { signal, flags } = options;
  const findings: Finding[] = [...checkVersions(options.server, options.pgDump)];
  const place: Place = { session, signal, findings };
  findings.push(...(await lookForPooler(place)));
  // The other checks are transactions, which such a pooler refuses.
  if (findings.some(({ code }) => code === "pooler-statement")) return findings;
  const roleName = summarizeFlags(flags).role;
  const role = await attempt(place, "the role", (ask) => readRole(ask, roleName));
  if (role === null) return [...findings, missingRole(roleName ?? session.settings.user)];
  const relations = await attempt(place, "which relations are selected", (ask) => selectRelations(ask, flags));
  const scoped = role === undefined || relations === undefined ? [] : relationChecks(role, relations, options);
  const checks = [...scoped, ...(role === undefined ? [] : roleChecks(role, options)), ...serverChecks(options)];
  for (const check of checks) findings.push(...(await runCheck(session, check, signal)));
  return findings;
}

/**
 * Checks exactly what pg_dump's table of contents names: privileges on tables, sequences and large objects, and row
 * security. For an ordinary idle session, not the one that holds the snapshot.
 */
export async function checkEntries(
  session: Session,
  entries: EntryOids,
  options: Omit<PreflightOptions, "pgDump">,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const { role: roleName, enableRowSecurity } = summarizeFlags(options.flags);
  const place: Place = { session, signal: options.signal, findings };
  const role = await attempt(place, "the role", (ask) => readRole(ask, roleName));
  if (role === undefined) return findings;
  if (role === null) return [missingRole(roleName ?? session.settings.user)];
  const named = await attempt(place, "sequences", (ask) => sequenceOidsOf(ask, entries.sequenceNames));
  const sequenceOids = [...entries.sequenceOids, ...(named ?? [])];
  const scope: PrivilegeScope = { role, serverMajor: options.server.major, severity: "blocking" };
  for (const check of privilegeChecks(scope, { ...entries, sequenceOids, enableRowSecurity })) {
    findings.push(...(await runCheck(session, check, options.signal)));
  }
  return findings;
}

async function sequenceOidsOf(ask: Ask, names: readonly QualifiedName[]): Promise<number[]> {
  if (names.length === 0) return [];
  const values = names.map(({ schema, name }) => `(${quoteLiteral(schema)}::name, ${quoteLiteral(name)}::name)`);
  const rows = await ask(`
SELECT c.oid FROM (VALUES ${values.join(", ")}) AS named (schema, name)
  JOIN pg_namespace n ON n.nspname = named.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = named.name AND c.relkind = 'S'`);
  return rows.map((row) => Number(row[0]));
}

interface PrivilegeTargets extends Omit<EntryOids, "largeObjectOids" | "sequenceNames"> {
  /** Null: all. */
  readonly largeObjectOids: readonly number[] | null;
  readonly enableRowSecurity: boolean;
}

function privilegeChecks(scope: PrivilegeScope, targets: PrivilegeTargets): Check[] {
  const { tableOids, dataOids, sequenceOids, largeObjectOids, enableRowSecurity } = targets;
  const readOids = [...new Set([...tableOids, ...dataOids])];
  return [
    {
      subject: "privileges on tables and sequences",
      run: (ask) => checkRelationPrivileges(ask, readOids, sequenceOids, scope),
    },
    { subject: "privileges on large objects", run: (ask) => checkLargeObjects(ask, largeObjectOids, scope) },
    { subject: "row security", run: (ask) => checkRowSecurity(ask, dataOids, scope, enableRowSecurity) },
  ];
}

function relationChecks(role: RoleFacts, relations: SelectedRelations, options: PreflightOptions): Check[] {
  const { lockWaitTimeout, enableRowSecurity } = summarizeFlags(options.flags);
  const { tableOids, dataOids, sequenceOids, foreignTableOids } = relations;
  const severity = relations.isExact ? "blocking" : "warning";
  const scope: PrivilegeScope = { role, serverMajor: options.server.major, severity };
  const largeObjectOids = relations.includesLargeObjects ? null : [];
  return [
    { subject: "the selection", run: () => Promise.resolve(emptySelection(relations, options.flags)) },
    ...privilegeChecks(scope, { tableOids, dataOids, sequenceOids, largeObjectOids, enableRowSecurity }),
    { subject: "foreign tables", run: (ask) => notes.checkForeignTables(ask, foreignTableOids, role) },
    { subject: "locks", run: (ask) => checkLocks(ask, tableOids, lockWaitTimeout) },
    { subject: "the lock table", run: (ask) => checkLockSlots(ask, tableOids.length) },
    {
      subject: "unlogged relations",
      run: (ask) => notes.checkUnloggedOnStandby(ask, [...dataOids, ...sequenceOids], severity),
    },
  ];
}

function roleChecks(role: RoleFacts, { flags, server }: PreflightOptions): Check[] {
  const has = (...names: readonly string[]): boolean => flags.some(({ name }) => names.includes(name));
  const checks: Check[] = [];
  if (has("role")) checks.push({ subject: "the role", run: (ask) => checkSetRole(ask, role, server.major) });
  if (has("schema", "table", "table-and-children", "data-only")) return checks;
  if (!has("no-subscriptions")) {
    checks.push({ subject: "subscriptions", run: (ask) => notes.checkSubscriptions(ask, role) });
  }
  checks.push({ subject: "user mappings", run: (ask) => notes.checkUserMappings(ask, role) });
  return checks;
}

function serverChecks({ server, flags }: PreflightOptions): Check[] {
  const { major } = server;
  const isDeferrable = flags.some(({ name }) => name === "serializable-deferrable");
  return [
    { subject: "long transactions", run: (ask) => checkLongTransactions(ask, isDeferrable) },
    { subject: "the standby's settings", run: (ask) => checkStandby(ask, isDeferrable) },
    { subject: "time limits", run: checkTimeLimits },
    { subject: "old_snapshot_threshold", run: (ask) => checkOldSnapshotThreshold(ask, major) },
    { subject: "WAL summaries", run: (ask) => checkWalSummaries(ask, major) },
    { subject: "the encoding", run: notes.checkEncoding },
    { subject: "names", run: notes.checkNames },
    { subject: "event triggers", run: notes.checkEventTriggers },
    { subject: "invalid indexes", run: notes.checkInvalidIndexes },
    { subject: 'values of type "char"', run: (ask) => checkCharValues(ask, major) },
    { subject: "what a restore evaluates", run: (ask) => checkRestoreHazards(ask, major) },
  ];
}

/** pg_dump ends with an error when -t or -n matches nothing. */
function emptySelection(relations: SelectedRelations, flags: readonly SelectionFlag[]): Finding[] {
  const isEmpty = relations.tableOids.length + relations.sequenceOids.length + relations.foreignTableOids.length === 0;
  const patterns = flags.filter(({ name }) => ["table", "table-and-children", "schema"].includes(name));
  if (!isEmpty || patterns.length === 0 || !relations.isExact) return [];
  const words = patterns.map(({ name, value }) => `--${name} ${JSON.stringify(value)}`).join(" ");
  return [
    {
      severity: "warning",
      code: "selection-empty",
      message: `no table or sequence matches ${words}`,
      hint: "Patterns match as in psql's \\d: put names with capitals or dots in double quotes, e.g. -t '\"Orders\"'.",
    },
  ];
}

/** The value of a question; undefined, with a warning among the findings, when it could not be asked. */
async function attempt<T>(place: Place, subject: string, work: (ask: Ask) => Promise<T>): Promise<T | undefined> {
  const { session, signal, findings } = place;
  try {
    return await inTransaction(session, signal, work);
  } catch (error) {
    signal?.throwIfAborted();
    if (!session.isConnected || !isOperatingError(error)) throw error;
    findings.push(uncheckedFinding(subject, error));
    return undefined;
  }
}

/** Makes transactions of its own. */
async function lookForPooler({ session, signal }: Place): Promise<Finding[]> {
  try {
    return await checkPooler(session, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (!session.isConnected || !isOperatingError(error)) throw error;
    return [uncheckedFinding("for a pooler", error)];
  }
}
