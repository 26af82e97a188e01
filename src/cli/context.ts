// The context of an operation, from this process.

import { homedir, userInfo } from "node:os";
import type { OperationContext, OperationEvent } from "../operations/operation.ts";
import type { Caller } from "./caller.ts";

/** What an operation is given besides its settings. */
export function operationContext(caller: Caller, onEvent: (event: OperationEvent) => void): OperationContext {
  const { environment, signal } = caller;
  return { signal, environment, homeDirectory: homedir(), userName: userName(environment), onEvent };
}

/** In a container the user id may have no name. */
function userName(environment: Caller["environment"]): string {
  try {
    return userInfo().username;
  } catch {
    return environment["USER"] ?? environment["LOGNAME"] ?? String(process.getuid?.() ?? "");
  }
}
