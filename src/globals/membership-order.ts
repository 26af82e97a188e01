// The order in which memberships can be granted. From PostgreSQL 16 on a grantor must hold ADMIN OPTION already, so
// that grants are made in passes over each role. Source: pg_dumpall.c (18), dumpRoleMembership.

import { OperatingError } from "../base/errors.ts";
import type { Globals, Membership } from "./globals.ts";

const GRANTORS_CHECKED_SINCE = 160_000;

/** The memberships in an order in which they can be granted. Throws "corrupt" when there is none. */
export function orderedMemberships(
  globals: Pick<Globals, "memberships" | "serverVersionNum" | "bootstrapRole">,
): readonly Membership[] {
  if (globals.serverVersionNum < GRANTORS_CHECKED_SINCE) return globals.memberships;
  const roles = Map.groupBy(globals.memberships, ({ role }) => role);
  return [...roles].flatMap(([role, own]) => orderedGrants(role, own, globals.bootstrapRole));
}

function orderedGrants(role: string, grants: readonly Membership[], bootstrapRole: string): Membership[] {
  const ordered: Membership[] = [];
  const admins = new Set([bootstrapRole]);
  let waiting = grants;
  while (waiting.length > 0) {
    const later: Membership[] = [];
    for (const grant of waiting) {
      if (grant.grantor !== null && !admins.has(grant.grantor)) {
        later.push(grant);
        continue;
      }
      ordered.push(grant);
      if (grant.hasAdminOption) admins.add(grant.member);
    }
    if (later.length === waiting.length) {
      throw new OperatingError("corrupt", `the memberships in role "${role}" cannot be granted in any order`, {
        detail: "Each grantor that is left would need ADMIN OPTION from another one.",
      });
    }
    waiting = later;
  }
  return ordered;
}
