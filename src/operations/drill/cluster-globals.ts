// The roles and tablespaces of a whole server on a throwaway one: made as a restore of the server makes them, and compared
// when all databases were drilled. Tablespaces stand within the server's own folder. Settings of all roles are made last:
// they would be those of the drill's sessions too.

import { applyGlobals, planGlobals, readGlobals, type Globals, type GlobalsFailure } from "../../globals/index.ts";
import { openSession, type ConnectionSettings } from "../../postgres/index.ts";
import type { OperationContext } from "../operation.ts";
import type { ClusterDrillReport, DrillFinding } from "./types.ts";

const OPTIONS = { isSuperuser: true, tablespaceMapping: {} } as const;

/** Makes them all but the settings of all roles; what failed. */
export async function makeGlobals(
  context: OperationContext,
  settings: ConnectionSettings,
  globals: Globals,
): Promise<readonly GlobalsFailure[]> {
  return await make(context, settings, { ...inPlace(globals), settingsOfAll: [] });
}

/** Makes the rest, and says what is missing or different now. */
export async function compareGlobals(
  context: OperationContext,
  settings: ConnectionSettings,
  globals: Globals,
  failed: readonly GlobalsFailure[],
): Promise<ClusterDrillReport["globals"]> {
  const source = inPlace(globals);
  const failures = [...failed, ...(await make(context, settings, { ...source, roles: [], memberships: [], parameters: [], tablespaces: [] }))]; // prettier-ignore
  const { signal } = context;
  await using session = await openSession(settings, { signal });
  const there = await readGlobals(session, { signal, withPasswords: true });
  const { steps, differences } = planGlobals(source, there, OPTIONS);
  const ownRole = `role "${there.bootstrapRole}" `;
  const reasons = new Map(failures.map(({ subject, error }) => [subject, error]));
  return {
    roleCount: globals.roles.length,
    membershipCount: globals.memberships.length,
    tablespaceCount: globals.tablespaces.length,
    differences: [
      ...steps.map(({ subject }) => finding(subject, `is missing${withReason(reasons.get(subject))}`)),
      ...differences.filter((one) => !one.startsWith(ownRole)).map((one) => finding(...split(one))),
    ],
    notCompared: [],
    excused: differences
      .filter((one) => one.startsWith(ownRole))
      .map((one) => {
        const [name, reason] = split(one);
        return { name, reason: `every server has it of its own: it ${reason}` };
      }),
  };
}

async function make(
  { signal }: OperationContext,
  settings: ConnectionSettings,
  source: Globals,
): Promise<readonly GlobalsFailure[]> {
  await using session = await openSession(settings, { signal });
  const there = await readGlobals(session, { signal, withPasswords: true });
  return await applyGlobals(session, planGlobals(source, there, OPTIONS), { source, signal });
}

/** Where the throwaway server can have them. */
function inPlace(globals: Globals): Globals {
  return { ...globals, tablespaces: globals.tablespaces.map((tablespace) => ({ ...tablespace, location: "" })) };
}

function finding(name: string, what: string): DrillFinding {
  return { kind: "globals", name, what, expected: null, found: null };
}

function withReason(reason: string | undefined): string {
  return reason === undefined ? "" : `: ${reason}`;
}

/** `role "app" is there already …` or `… is not there …` in its two parts. */
function split(sentence: string): readonly [name: string, what: string] {
  const at = sentence.search(/ is (?:there already|not there)\b/);
  return at < 0 ? [sentence, "is different"] : [sentence.slice(0, at), sentence.slice(at + 1)];
}
