// Whether the role may read every large object. pg_read_all_data does not cover them (before 19), so the cure is a GRANT
// for each, or one DO block when they are many.

import { quoteIdentifier } from "../../postgres/index.ts";
import type { Ask } from "./check.ts";
import type { Finding } from "./finding.ts";
import { countOf, displayPart, listNames } from "./finding.ts";
import type { PrivilegeScope } from "./privileges.ts";
import { wantedOids } from "./privileges.ts";

/** Large objects named in one GRANT; beyond, a DO block grants them all. */
const GRANT_OID_COUNT_MAX = 500;

/** ACLs are exploded by hand: has_largeobject_privilege came with 18. */
function unreadableQuery(roleOid: number, oids: readonly number[] | null): string {
  const source =
    oids === null
      ? "pg_largeobject_metadata AS l"
      : `${wantedOids(oids)} JOIN pg_largeobject_metadata AS l ON l.oid = wanted.oid`;
  return `
SELECT l.oid, count(*) OVER () FROM ${source}
 WHERE NOT pg_has_role(${roleOid}::oid, l.lomowner, 'USAGE')
   AND NOT EXISTS (SELECT FROM aclexplode(l.lomacl) AS a WHERE a.privilege_type = 'SELECT'
                      AND (a.grantee = 0 OR pg_has_role(${roleOid}::oid, a.grantee, 'USAGE')))
 ORDER BY l.oid LIMIT ${GRANT_OID_COUNT_MAX + 1}`;
}

/** SELECT on the large objects given, or on all of them (`oids` null). */
export async function checkLargeObjects(
  ask: Ask,
  oids: readonly number[] | null,
  scope: PrivilegeScope,
): Promise<Finding[]> {
  if (oids?.length === 0) return [];
  const isCompatible = (await ask("SELECT current_setting('lo_compat_privileges')::boolean"))[0]?.[0] === "t";
  const isFree = scope.role.isSuperuser || isCompatible;
  const rows = isFree ? [] : await ask(unreadableQuery(scope.role.oid, oids));
  if (rows.length > 0)
    return [
      unreadable(
        rows.map((row) => row[0]!),
        Number(rows[0]![1]),
        oids !== null,
        scope,
      ),
    ];
  const estimate = oids === null ? await ask("SELECT count(*) FROM pg_largeobject_metadata") : [[String(oids.length)]];
  const count = Number(estimate[0]?.[0] ?? 0);
  const message = `role ${displayPart(scope.role.name)} may read ${countOf(count, "large object")}`;
  return count === 0 ? [] : [{ severity: "ok", code: "large-object-privileges", message }];
}

function unreadable(oids: readonly string[], count: number, isChosen: boolean, scope: PrivilegeScope): Finding {
  const role = quoteIdentifier(scope.role.name);
  const names = listNames(oids.slice(0, 5));
  return {
    severity: scope.severity,
    code: "large-object-privilege",
    message:
      `role ${displayPart(scope.role.name)} lacks SELECT on ${countOf(count, "large object")}: ${names}` +
      (count > 5 ? ` and ${count - 5} more` : ""),
    detail: scope.serverMajor >= 14 ? "pg_read_all_data does not cover large objects." : undefined,
    hint:
      "Run the statement as a superuser or as their owner" + (isChosen ? "." : "; or leave them out with --no-blobs."),
    statements:
      count <= GRANT_OID_COUNT_MAX ? [`GRANT SELECT ON LARGE OBJECT ${oids.join(", ")} TO ${role};`] : [grantAll(role)],
  };
}

function grantAll(role: string): string {
  const tag = chooseTag(role);
  return `DO ${tag} DECLARE o oid; BEGIN
  FOR o IN SELECT oid FROM pg_catalog.pg_largeobject_metadata LOOP
    EXECUTE 'GRANT SELECT ON LARGE OBJECT ' || o || ' TO ${role.replaceAll("'", "''")}';
  END LOOP;
END ${tag};`;
}

/** A dollar quote that the name does not hold. */
function chooseTag(text: string): string {
  let tag = "$cairn$";
  for (let count = 1; text.includes(tag); count += 1) tag = `$cairn${count}$`;
  return tag;
}
