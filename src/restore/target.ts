// Looks at a target before the first statement: is it empty, is it new enough, and does it have the roles, extensions
// and tablespaces that the plan names. Changes nothing.

import { OperatingError } from "../base/errors.ts";
import { quoteLiteral, type Session } from "../postgres/index.ts";
import type { RestorePlan } from "./plan.ts";
import { readQualifiedName } from "./sql-text.ts";

/** Something that a person should know before the restore begins. */
export interface TargetFinding {
  readonly kind: "older server" | "missing role" | "missing extension" | "missing tablespace";
  readonly message: string;
  readonly hint: string;
}

/** What was seen. */
export interface TargetCheck {
  /** server_version_num. */
  readonly version: number;
  /** Some objects of the target, at most OBJECTS_SHOWN_MAX; none when it is empty. */
  readonly objects: readonly string[];
  readonly findings: readonly TargetFinding[];
}

/** How a target may be. */
export interface TargetExpectation {
  /** True for --clean, -a, --in-place: the target may hold objects. */
  readonly allowsNonEmpty: boolean;
  /** Server version in the archive's header, for the comparison of majors. */
  readonly sourceVersion?: string;
}

const OBJECTS_SHOWN_MAX = 10;
const SERVER_VERSION_MIN = 130000;

/**
 * Checks a target. Throws OperatingError "server_version_unsupported", "preflight_failed" (a standby), or
 * "target_not_empty" with some of the objects. With --create, the session is in another database than the restore:
 * then the new database's name must be free, or be dropped by --clean.
 */
export async function checkTarget(
  session: Session,
  plan: RestorePlan,
  expectation: TargetExpectation,
): Promise<TargetCheck> {
  const version = session.serverVersion.number;
  if (version < SERVER_VERSION_MIN) {
    throw new OperatingError("server_version_unsupported", `the target is a server of version ${version}`, {
      hint: "Restore into PostgreSQL 13 or newer.",
    });
  }
  if ((await session.query("SELECT pg_catalog.pg_is_in_recovery();")).value === "t") {
    throw new OperatingError("preflight_failed", "the target is a standby", { hint: "Restore into its primary." });
  }
  const findings: TargetFinding[] = [...olderServer(version, expectation.sourceVersion)];
  let objects: readonly string[] = [];
  if (plan.options.create) {
    await checkNewDatabase(session, plan);
  } else {
    objects = await objectsOfTarget(session);
    if (objects.length > 0 && !expectation.allowsNonEmpty) throw notEmpty(session, objects);
  }
  findings.push(...(await missingRoles(session, plan)));
  findings.push(...(await missingExtensions(session, plan)));
  findings.push(...(await missingTablespaces(session, plan)));
  return { version, objects, findings };
}

function olderServer(version: number, sourceVersion: string | undefined): readonly TargetFinding[] {
  const sourceMajor = Number.parseInt(sourceVersion ?? "", 10);
  const major = Math.floor(version / 10_000);
  if (Number.isNaN(sourceMajor) || sourceMajor <= major) return [];
  return [
    {
      kind: "older server",
      message: `the target (${major}) is older than the server that the data comes from (${sourceMajor})`,
      hint: "What only the newer server knows will fail; each such entry is listed.",
    },
  ];
}

function notEmpty(session: Session, objects: readonly string[]): OperatingError {
  const more = objects.length >= OBJECTS_SHOWN_MAX ? ", and perhaps more" : "";
  return new OperatingError("target_not_empty", `database "${session.settings.database}" is not empty`, {
    detail: `It holds ${objects.join(", ")}${more}.`,
    hint: "Restore into a new database, or say --clean (drops what is restored), -a or --in-place (adds to it).",
  });
}

// Everything that belongs to nobody's extension and was not there in template0.
const OBJECTS_QUERY = `
SELECT what FROM (
  SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence '
         WHEN 'f' THEN 'foreign table ' WHEN 'c' THEN 'type ' ELSE 'table ' END || c.oid::pg_catalog.regclass::text AS what,
         c.oid, 'pg_class'::pg_catalog.regclass AS class, c.relnamespace AS namespace
    FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
  UNION ALL
  SELECT 'function ' || p.oid::pg_catalog.regprocedure::text, p.oid, 'pg_proc'::pg_catalog.regclass, p.pronamespace
    FROM pg_catalog.pg_proc p
  UNION ALL
  SELECT 'type ' || t.oid::pg_catalog.regtype::text, t.oid, 'pg_type'::pg_catalog.regclass, t.typnamespace
    FROM pg_catalog.pg_type t WHERE t.typtype IN ('d', 'e', 'r')
) AS objects JOIN pg_catalog.pg_namespace n ON n.oid = objects.namespace
WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = objects.class AND d.objid = objects.oid AND d.deptype = 'e')
UNION ALL
SELECT 'schema ' || pg_catalog.quote_ident(nspname) FROM pg_catalog.pg_namespace n
WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'public')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_namespace'::pg_catalog.regclass AND d.objid = n.oid AND d.deptype = 'e')
UNION ALL
(SELECT 'large object ' || oid FROM pg_catalog.pg_largeobject_metadata LIMIT 1)
LIMIT ${OBJECTS_SHOWN_MAX};`;

/** Some objects of the session's database, at most OBJECTS_SHOWN_MAX; none when it is empty. */
export async function objectsOfTarget(session: Session): Promise<readonly string[]> {
  const { rows } = await session.query(OBJECTS_QUERY);
  return rows.map(([what]) => what ?? "");
}

async function checkNewDatabase(session: Session, plan: RestorePlan): Promise<void> {
  const name = plan.serial.find((task) => task.entry.description === "DATABASE")?.entry.tag;
  if (name === undefined || plan.options.clean) return;
  const found = await session.query(`SELECT 1 FROM pg_catalog.pg_database WHERE datname = ${quoteLiteral(name)};`);
  if (found.value === null) return;
  throw new OperatingError("target_not_empty", `database "${name}" exists already`, {
    hint: "Say --clean to drop it first, or restore into a database of another name without --create.",
  });
}

async function missingNames(session: Session, names: Iterable<string>, query: string): Promise<readonly string[]> {
  const wanted = [...new Set(names)];
  if (wanted.length === 0) return [];
  const { rows } = await session.query(query);
  const there = new Set(rows.map(([name]) => name));
  return wanted.filter((name) => !there.has(name));
}

async function missingRoles(session: Session, plan: RestorePlan): Promise<readonly TargetFinding[]> {
  const roles: string[] = plan.options.role === undefined ? [] : [plan.options.role];
  for (const task of [...plan.serial, ...plan.parallel]) {
    if (!task.isWanted) continue;
    const setsOwner = task.statements.some((statement) => statement.purpose === "owner");
    if (setsOwner || (task.settings.owner ?? "") !== "") roles.push(task.entry.owner);
    if (task.pass === "acl") for (const { sql } of task.statements) roles.push(...rolesOfAcl(sql));
  }
  const missing = await missingNames(session, roles, "SELECT rolname FROM pg_catalog.pg_roles;");
  return missing.map((name) => ({
    kind: "missing role",
    message: `role "${name}" does not exist on the target`,
    hint: `Create it, or restore without owners and privileges (--no-owner --no-acl).`,
  }));
}

/** The roles that statements of privileges name. */
export function rolesOfAcl(sql: string): readonly string[] {
  const roles: string[] = [];
  for (const match of sql.matchAll(/ (?:TO|FROM|FOR ROLE|GRANTED BY) (?=["A-Za-z_\u0080-\uffff])/g)) {
    const name = readQualifiedName(sql, match.index + match[0].length);
    // An unquoted PUBLIC is everybody.
    const isPublic = sql.startsWith("PUBLIC", match.index + match[0].length);
    if (name?.parts.length === 1 && !isPublic) roles.push(name.parts[0] as string);
  }
  return roles;
}

async function missingExtensions(session: Session, plan: RestorePlan): Promise<readonly TargetFinding[]> {
  const names = plan.serial.filter((task) => task.entry.description === "EXTENSION").map((task) => task.entry.tag);
  const missing = await missingNames(session, names, "SELECT name FROM pg_catalog.pg_available_extensions;");
  return missing.map((name) => ({
    kind: "missing extension",
    message: `extension "${name}" is not installed on the target's machine`,
    hint: "Install its package there first; objects that need it cannot be restored.",
  }));
}

async function missingTablespaces(session: Session, plan: RestorePlan): Promise<readonly TargetFinding[]> {
  const names = [...plan.serial, ...plan.parallel]
    .filter((task) => task.isWanted && (task.settings.tablespace ?? "") !== "")
    .map((task) => task.settings.tablespace ?? "");
  const missing = await missingNames(session, names, "SELECT spcname FROM pg_catalog.pg_tablespace;");
  return missing.map((name) => ({
    kind: "missing tablespace",
    message: `tablespace "${name}" does not exist on the target`,
    hint: "Create it, or restore with --no-tablespaces.",
  }));
}
