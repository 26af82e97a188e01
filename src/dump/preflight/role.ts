// The role that pg_dump works as: the one that logged in, or --role; and whether it may become that one.

import { quoteIdentifier, quoteLiteral } from "../../postgres/index.ts";
import type { Ask } from "./check.ts";
import type { Finding } from "./finding.ts";
import { displayPart } from "./finding.ts";

export interface RoleFacts {
  readonly oid: number;
  readonly name: string;
  readonly isSuperuser: boolean;
  readonly bypassesRowSecurity: boolean;
}

const ROLE_COLUMNS = "SELECT oid, rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname =";

/** The facts of --role or of the session's role; null when there is no such role. */
export async function readRole(ask: Ask, roleName: string | null): Promise<RoleFacts | null> {
  const rows = await ask(`${ROLE_COLUMNS} ${roleName === null ? "current_user" : quoteLiteral(roleName)}`);
  const row = rows[0];
  if (row === undefined) return null;
  return { oid: Number(row[0]), name: row[1]!, isSuperuser: row[2] === "t", bypassesRowSecurity: row[3] === "t" };
}

/** Whether the session may SET ROLE to `role`. */
export async function checkSetRole(ask: Ask, role: RoleFacts, serverMajor: number): Promise<Finding[]> {
  const kind = serverMajor >= 16 ? "SET" : "MEMBER";
  const rows = await ask(`SELECT pg_has_role(session_user, ${role.oid}::oid, '${kind}'), session_user`);
  const [isAllowed, sessionUser] = rows[0] ?? [];
  if (isAllowed === "t" || sessionUser === null || sessionUser === undefined) return [];
  return [
    {
      severity: "blocking",
      code: "set-role",
      message: `role ${displayPart(sessionUser)} may not become role ${displayPart(role.name)}, which --role asks for`,
      hint: "Make it a member of that role, or leave --role out.",
      statements: [`GRANT ${quoteIdentifier(role.name)} TO ${quoteIdentifier(sessionUser)};`],
    },
  ];
}

/** The finding for a --role that is not there. */
export function missingRole(roleName: string): Finding {
  return {
    severity: "blocking",
    code: "set-role",
    message: `role ${displayPart(roleName)}, which --role asks for, does not exist`,
    hint: "Name an existing role, or leave --role out.",
  };
}
