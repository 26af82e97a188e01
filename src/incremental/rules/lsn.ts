// LSNs as PostgreSQL prints them: two hexadecimal numbers of 32 bits. Source: pg_lsn.c; PostgreSQL manual, "pg_lsn Type".

import { assert } from "../../base/assert.ts";

const LSN_MAX = 2n ** 64n - 1n;

/** An LSN in PostgreSQL's text, e.g. `16/B374D848`. */
export function formatLsn(lsn: bigint): string {
  assert(lsn >= 0n && lsn <= LSN_MAX, "an LSN has 64 bits");
  const half = (value: bigint): string => value.toString(16).toUpperCase();
  return `${half(lsn >> 32n)}/${half(lsn & 0xffff_ffffn)}`;
}

/** The LSN of PostgreSQL's text, leading zeros or not; null when it is none. */
export function parseLsn(text: string): bigint | null {
  const parts = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  return parts === null ? null : (BigInt(`0x${parts[1]!}`) << 32n) | BigInt(`0x${parts[2]!}`);
}
