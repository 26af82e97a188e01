// The order in which findings are told: the worst first; the holes of the bundled pg_dump, which nobody can close at once
// and which stand in the way of nothing, last (pure).

import type { Finding } from "../../dump/index.ts";

const RANKS = { blocking: 0, warning: 1, info: 2, ok: 3 } as const satisfies Record<Finding["severity"], number>;
const LAST = 4;

/** The findings in order; those of one rank stay as they are. */
export function orderFindings(findings: readonly Finding[]): readonly Finding[] {
  return findings.toSorted((one, other) => rankOf(one) - rankOf(other));
}

function rankOf({ severity, code }: Finding): number {
  return severity === "info" && code === "pg-dump-outdated" ? LAST : RANKS[severity];
}
