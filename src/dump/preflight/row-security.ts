// Tables whose policies apply to the role: pg_dump sets row_security off, so that reading them fails instead of giving
// fewer rows; with --enable-row-security it gives fewer rows. Source: check_enable_rls.

import { quoteIdentifier } from "../../postgres/index.ts";
import type { Ask } from "./check.ts";
import type { Finding } from "./finding.ts";
import { countOf, displayName, displayPart, joinSentences, listNames, namesDetail } from "./finding.ts";
import type { PrivilegeScope } from "./privileges.ts";
import { wantedOids } from "./privileges.ts";

/** Row security of the tables whose rows are read. */
export async function checkRowSecurity(
  ask: Ask,
  dataOids: readonly number[],
  scope: PrivilegeScope,
  isEnabled: boolean,
): Promise<Finding[]> {
  const { role } = scope;
  if (dataOids.length === 0 || role.isSuperuser || role.bypassesRowSecurity) return [];
  const rows = await ask(`
SELECT n.nspname, c.relname, pg_has_role(${role.oid}::oid, c.relowner, 'USAGE')
  FROM ${wantedOids(dataOids)} JOIN pg_class c ON c.oid = wanted.oid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relrowsecurity AND (c.relforcerowsecurity OR NOT pg_has_role(${role.oid}::oid, c.relowner, 'USAGE'))
 ORDER BY 1, 2`);
  if (rows.length === 0) return [];
  const names = rows.map((row) => displayName({ schema: row[0]!, name: row[1]! }));
  const forced = rows.filter((row) => row[2] === "t").map((row) => displayName({ schema: row[0]!, name: row[1]! }));
  const tables = `${countOf(names.length, "table")}: ${listNames(names)}`;
  const roleName = displayPart(role.name);
  return [
    {
      severity: isEnabled ? "warning" : scope.severity,
      code: "row-security",
      message: isEnabled
        ? `row security hides rows from role ${roleName}, and --enable-row-security leaves them out, in ${tables}`
        : `row security applies to role ${roleName}, so that all rows cannot be read, in ${tables}`,
      detail: joinSentences(
        namesDetail(names),
        forced.length === 0 ? undefined : `It is forced on the owner too: ${listNames(forced)}.`,
      ),
      hint: "Let the role read all rows (a superuser runs the statement), or back up as the tables' owner or a superuser.",
      statements: [`ALTER ROLE ${quoteIdentifier(role.name)} BYPASSRLS;`],
    },
  ];
}
