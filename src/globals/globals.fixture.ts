// Globals for unit tests: a server with a few roles, as version 18 has them.

import type { Globals, GlobalRole, Membership } from "./globals.ts";

/** A role with nothing but its name. */
export function role(name: string, more: Partial<GlobalRole> = {}): GlobalRole {
  return {
    name,
    isSuperuser: false,
    inherits: true,
    createsRoles: false,
    createsDatabases: false,
    canLogIn: false,
    replicates: false,
    bypassesRowSecurity: false,
    connectionLimit: -1,
    password: null,
    validUntil: null,
    comment: null,
    securityLabels: [],
    settings: [],
    ...more,
  };
}

/** A membership as GRANT makes it in version 16 and later. */
export function membership(role: string, member: string, more: Partial<Membership> = {}): Membership {
  return { role, member, grantor: "postgres", hasAdminOption: false, inherits: true, mayBeSet: true, ...more };
}

/** An empty server's globals. */
export function globals(more: Partial<Globals> = {}): Globals {
  return {
    serverVersionNum: 180_004,
    clientEncoding: "UTF8",
    textEncoding: "utf8",
    passwords: "carried",
    bootstrapRole: "postgres",
    reservedNames: [],
    roles: [role("postgres", { isSuperuser: true })],
    memberships: [],
    parameters: [],
    tablespaces: [],
    settingsOfAll: [],
    ...more,
  };
}
