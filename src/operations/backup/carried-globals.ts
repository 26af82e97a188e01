// The roles and tablespaces that a database needs on another server, read in the snapshot of its backup. Without them a
// restore elsewhere fails at the first owner; a backup without them is a backup all the same, so failing to read them is
// a warning.

import { messageOf } from "../../base/errors.ts";
import type { Dump } from "../../dump/index.ts";
import { readGlobals, type Globals } from "../../globals/index.ts";
import { openSession, ServerError } from "../../postgres/index.ts";
import { warn } from "../events.ts";
import { warnOfClearPasswords } from "../globals-facts.ts";
import type { OperationContext } from "../operation.ts";
import type { SettledSource } from "../source/settle-source.ts";
import type { GlobalsChoice } from "./types.ts";

export interface CarriedGlobals {
  readonly globals: Globals | null;
  readonly warnings: readonly string[];
}

interface Request {
  readonly source: SettledSource;
  readonly dump: Dump;
  readonly repository: { readonly isEncrypted: boolean };
  readonly choice: GlobalsChoice | undefined;
}

/** Reads what the database needs of its server. */
export async function readCarriedGlobals(context: OperationContext, request: Request): Promise<CarriedGlobals> {
  const { source, dump, repository, choice = "with passwords" } = request;
  if (choice === "none") return { globals: null, warnings: [] };
  const { signal } = context;
  await using session = await openSession(source.settings, { signal, applicationName: "cairn" });
  try {
    const globals = await readGlobals(session, {
      signal,
      withPasswords: choice === "with passwords",
      snapshotName: dump.snapshot.exportedName,
      onlyNeeded: true,
    });
    return { globals, warnings: warnOfClearPasswords(context, globals, repository) };
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    const message = `the roles that the database needs could not be read: ${messageOf(error)}`;
    return { globals: null, warnings: [warn(context, { message, hint: "Give --no-globals to do without them." })] };
  }
}
