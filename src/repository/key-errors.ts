// What a rotation of the data key says when it is refused, or when nobody knows whether it was done.

import { isOperatingError, messageOf, OperatingError } from "../base/errors.ts";
import type { KeySlotFacts } from "./key-register.ts";
import type { DataKey } from "./keys.ts";

/** The error of a rotation whose new key may count all the same. */
export function mayBeInUse({ id }: DataKey, cause: unknown): OperatingError {
  const isOperating = isOperatingError(cause);
  return new OperatingError(isOperating ? cause.code : "internal", messageOf(cause), {
    detail: `The new data key ${Buffer.from(id).toString("hex")} may be in use.`,
    hint: 'Keep the new recovery kit and the one before, until "cairn key list" says which data key is in use.',
    cause,
  });
}

/** Slots that a rotation would leave out. */
export function wouldDrop(dropped: readonly KeySlotFacts[]): OperatingError {
  const names = dropped.map(({ id, kind, label }) => `${id} (${kind}${label === null ? "" : `, "${label}"`})`);
  return new OperatingError("usage", `a new data key would leave out ${dropped.length} of the repository's keys`, {
    detail: `They are ${names.join(", ")}. A passphrase that nobody types now cannot be put before a new data key.`,
    hint: "With --drop-others they are left out, and have to be added again by who knows them.",
  });
}

/** No slot would open the repository after a rotation. */
export function nothingLeft(): OperatingError {
  return new OperatingError("usage", "no key would be left that opens the repository", {
    hint: 'Open it with its passphrase; or add a key first ("cairn key add") and open it with that.',
  });
}
