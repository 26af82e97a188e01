// What receipts say of roles and tablespaces.

import type { GlobalsFacts } from "../../operations/globals-facts.ts";
import { countOf } from "./text.ts";

const PASSWORDS: Readonly<Record<GlobalsFacts["passwords"], string>> = {
  carried: "with passwords",
  "left out": "without passwords",
  "not readable": "without passwords: they may not be read",
};

/** Counts of what came along. */
export function globalsLine({ roleCount, membershipCount, tablespaceCount, passwords }: GlobalsFacts): string {
  return [
    `${countOf(roleCount, "role")} ${PASSWORDS[passwords]}`,
    countOf(membershipCount, "membership"),
    countOf(tablespaceCount, "tablespace"),
  ].join(", ");
}
