// Globals on their way into a manifest and out of it, and what receipts say of them: never a password, never a name.

import { OperatingError } from "../base/errors.ts";
import { parseGlobals, type Globals } from "../globals/index.ts";
import type { Json, Manifest } from "../repository/index.ts";
import { warn } from "./events.ts";
import type { OperationContext } from "./operation.ts";

export interface GlobalsFacts {
  readonly roleCount: number;
  readonly membershipCount: number;
  readonly tablespaceCount: number;
  readonly passwords: "carried" | "left out" | "not readable";
}

/** What a receipt says. */
export function globalsFacts({ roles, memberships, tablespaces, passwords }: Globals): GlobalsFacts {
  return {
    roleCount: roles.length,
    membershipCount: memberships.length,
    tablespaceCount: tablespaces.length,
    passwords,
  };
}

/** As the manifest holds them. */
export function globalsJson(globals: Globals): Json {
  return globals as unknown as Json;
}

/** A manifest's globals; null when it carries none. Throws "corrupt". */
export function globalsOf(manifest: Manifest): Globals | null {
  if (manifest.globals === undefined || manifest.globals === null) return null;
  const globals = parseGlobals(manifest.globals);
  if (globals !== null) return globals;
  throw new OperatingError("corrupt", `the roles and tablespaces of restore point ${manifest.id} cannot be read`, {
    hint: "Verify the restore point; its databases can be restored all the same.",
  });
}

/** Warns of password hashes that would lie about in clear; the warnings. */
export function warnOfClearPasswords(
  context: OperationContext,
  globals: Globals,
  { isEncrypted }: { readonly isEncrypted: boolean },
): string[] {
  const count = globals.roles.filter(({ password }) => password !== null).length;
  if (isEncrypted || count === 0) return [];
  const message = `the repository is not encrypted: the password hashes of ${count} ${count === 1 ? "role" : "roles"} are stored in clear`;
  return [warn(context, { message, hint: "Give --no-role-passwords, or back up into an encrypted repository." })];
}
