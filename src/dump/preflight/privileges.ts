// Whether the role may read every table, sequence and schema of a dump. pg_dump takes ACCESS SHARE locks by name, so a
// table needs SELECT as a whole (grants on columns do not do) and its schema USAGE, even for --schema-only. For
// a sequence without SELECT, pg_dump 18.0 and 18.1 wrote wrong values without an error.

import { quoteIdentifier, quoteQualifiedName } from "../../postgres/index.ts";
import type { Ask } from "./check.ts";
import type { Finding, QualifiedName } from "./finding.ts";
import { countOf, displayName, displayPart, joinSentences, listNames, namesDetail } from "./finding.ts";
import type { RoleFacts } from "./role.ts";

/** GRANTs on single objects before they are given by schema. */
const GRANT_COUNT_MAX = 200;

/** What the checks of privileges share. */
export interface PrivilegeScope {
  readonly role: RoleFacts;
  readonly serverMajor: number;
  /** "warning" when pg_dump may choose fewer relations than were looked at. */
  readonly severity: "blocking" | "warning";
}

interface Lacking extends QualifiedName {
  readonly lacksSelect: boolean;
  readonly lacksUsage: boolean;
  readonly hasColumnGrant: boolean;
}

/** A list of OIDs as a relation `wanted(oid)`; a join with it is quick on every version, `= ANY` is not on 13. */
export function wantedOids(oids: readonly number[]): string {
  return `(SELECT DISTINCT unnest(ARRAY[${oids.join(",")}]::oid[]) AS oid) AS wanted`;
}

/** SELECT on tables and sequences, USAGE on their schemas. */
export async function checkRelationPrivileges(
  ask: Ask,
  tableOids: readonly number[],
  sequenceOids: readonly number[],
  scope: PrivilegeScope,
): Promise<Finding[]> {
  const tables = await readLacking(ask, tableOids, scope.role);
  const sequences = await readLacking(ask, sequenceOids, scope.role);
  const findings = [
    ...schemaFindings([...tables, ...sequences], scope),
    ...selectFindings(
      tables.filter(({ lacksSelect }) => lacksSelect),
      "table",
      scope,
    ),
    ...selectFindings(
      sequences.filter(({ lacksSelect }) => lacksSelect),
      "sequence",
      scope,
    ),
  ];
  if (findings.length > 0) return findings;
  const counts = `${countOf(tableOids.length, "table")} and ${countOf(sequenceOids.length, "sequence")}`;
  return [{ severity: "ok", code: "privileges", message: `role ${displayPart(scope.role.name)} may read ${counts}` }];
}

async function readLacking(ask: Ask, oids: readonly number[], role: RoleFacts): Promise<Lacking[]> {
  if (oids.length === 0 || role.isSuperuser) return [];
  const rows = await ask(`
SELECT * FROM (
  SELECT n.nspname, c.relname, NOT has_table_privilege(${role.oid}::oid, c.oid, 'SELECT') AS lacks_select,
         NOT has_schema_privilege(${role.oid}::oid, n.oid, 'USAGE') AS lacks_usage,
         c.relkind <> 'S' AND has_any_column_privilege(${role.oid}::oid, c.oid, 'SELECT')
    FROM ${wantedOids(oids)} JOIN pg_class c ON c.oid = wanted.oid JOIN pg_namespace n ON n.oid = c.relnamespace
) AS looked WHERE lacks_select OR lacks_usage ORDER BY 1, 2`);
  return rows.map((row) => ({
    schema: row[0]!,
    name: row[1]!,
    lacksSelect: row[2] === "t",
    lacksUsage: row[3] === "t",
    hasColumnGrant: row[4] === "t",
  }));
}

function schemaFindings(lacking: readonly Lacking[], scope: PrivilegeScope): Finding[] {
  const schemas = [...new Set(lacking.filter(({ lacksUsage }) => lacksUsage).map(({ schema }) => schema))];
  if (schemas.length === 0) return [];
  const names = schemas.map(displayPart);
  const role = quoteIdentifier(scope.role.name);
  return [
    {
      severity: scope.severity,
      code: "schema-privilege",
      message:
        `role ${displayPart(scope.role.name)} lacks USAGE on ${countOf(schemas.length, "schema")}: ` + listNames(names),
      detail: namesDetail(names),
      hint: grantHint(scope, "the schemas' owners"),
      statements: schemas.map((schema) => `GRANT USAGE ON SCHEMA ${quoteIdentifier(schema)} TO ${role};`),
    },
  ];
}

function selectFindings(lacking: readonly Lacking[], kind: "table" | "sequence", scope: PrivilegeScope): Finding[] {
  if (lacking.length === 0) return [];
  const names = lacking.map(displayName);
  const onColumns = lacking.filter(({ hasColumnGrant }) => hasColumnGrant).map(displayName);
  const columnsDetail =
    onColumns.length === 0
      ? undefined
      : `SELECT on columns alone does not do, since pg_dump locks the table: ${listNames(onColumns)}.`;
  return [
    {
      severity: scope.severity,
      code: `${kind}-privilege`,
      message:
        `role ${displayPart(scope.role.name)} lacks SELECT on ${countOf(lacking.length, kind)}: ` + listNames(names),
      detail: joinSentences(namesDetail(names), columnsDetail, bySchemaDetail(lacking.length, kind)),
      hint: grantHint(scope, `the ${kind}s' owners`),
      statements: selectGrants(lacking, kind, scope.role.name),
    },
  ];
}

function bySchemaDetail(count: number, kind: "table" | "sequence"): string | undefined {
  if (count <= GRANT_COUNT_MAX) return undefined;
  return `They are many, so the statements grant it on all ${kind}s of their schemas.`;
}

function selectGrants(lacking: readonly Lacking[], kind: "table" | "sequence", roleName: string): string[] {
  const role = quoteIdentifier(roleName);
  const word = kind.toUpperCase();
  if (lacking.length <= GRANT_COUNT_MAX) {
    return lacking.map(({ schema, name }) => `GRANT SELECT ON ${word} ${quoteQualifiedName(schema, name)} TO ${role};`);
  }
  const schemas = [...new Set(lacking.map(({ schema }) => schema))];
  return schemas.map((schema) => `GRANT SELECT ON ALL ${word}S IN SCHEMA ${quoteIdentifier(schema)} TO ${role};`);
}

function grantHint({ role, serverMajor }: PrivilegeScope, owners: string): string {
  const who = `Run the statements as a superuser or as ${owners}`;
  if (serverMajor < 14) return `${who}.`;
  return `${who}; or once for all tables, sequences and schemas: GRANT pg_read_all_data TO ${quoteIdentifier(role.name)};`;
}
