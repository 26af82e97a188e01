// Warnings that something of the parent restore point could not be read, and what that costs.

import type { Run } from "../../repository/index.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";

/** What of the parent could not be read, each kind once. `missedBase`: what the storage said of one that did not come. */
export function warnOfParent(context: OperationContext, run: Run, missedBase: string | null): readonly string[] {
  return [
    ...warnOfDamage(context, run),
    ...warnOfRefusedLists(context, run),
    ...warnOfMissedBases(context, missedBase),
  ];
}

/** A warning when the run could not read back what the parent has. */
function warnOfDamage(context: OperationContext, { foundDamage, parent }: Run): readonly string[] {
  const [first] = foundDamage;
  if (first === undefined) return [];
  const ofWhich = foundDamage.length === 1 ? "a chunk" : `${foundDamage.length} chunks`;
  return [
    warn(context, {
      message: `restore point ${parent!.id} is damaged: ${ofWhich} could not be read back (${first.relation}: ${first.reason})`,
      detail: "What a backup needs of that is stored anew.",
      hint: 'Run "cairn verify" on the earlier restore points: they may need the same chunks.',
    }),
  ];
}

/** The one warning that full chunks were stored where what deltas lean on could not be read back. */
function warnOfMissedBases(context: OperationContext, failure: string | null): readonly string[] {
  if (failure === null) return [];
  return [
    warn(context, {
      message: `chunks that deltas lean on could not be read back, whole ones were stored: ${failure}`,
      detail: "Nothing is missing in the restore point; it only takes more room.",
      hint: "Where the storage's rights or class do not let packs be read, --deltas never does without asking.",
    }),
  ];
}

/** A warning that the parent's lists could not be read, so that nothing was taken over of what they name. */
function warnOfRefusedLists(context: OperationContext, { parent }: Run): readonly string[] {
  const reason = parent?.refusedBecause ?? null;
  if (reason === null) return [];
  return [
    warn(context, {
      message: `the lists of restore point ${parent!.id} could not be read: ${reason}`,
      detail: "What they name was read and stored anew. Nothing is missing in the new restore point.",
      hint: "A backup needs the right to read packs, and packs in a storage class that can be read at once.",
    }),
  ];
}
