// How an object of unknown length is cut into parts: S3 takes at most 10,000 of them, each but the last of at least
// 5 MiB. Parts are equal up to 16 GiB (some servers want that), then they grow, so that memory stays small for what
// is usual. Source: Amazon S3 User Guide, "Multipart upload limits".

import { MIB } from "../../base/units.ts";

const PARTS_MAX = 10_000;
const PART_BYTES_FIRST = 8 * MIB;
/** After so many parts the size doubles: 8, 16, 32, 64, 128 MiB; together 484 GiB. */
const PARTS_OF_A_SIZE = 2000;

/** Parts of one writer that may be on their way at once, in bytes; a single larger part goes alone. */
export const IN_FLIGHT_BYTES_MAX = 24 * MIB;

/** Size of a part by its number, from 1; null when there can be no such part. */
export function partSizeBytes(number: number): number | null {
  return number > PARTS_MAX ? null : PART_BYTES_FIRST * 2 ** Math.floor((number - 1) / PARTS_OF_A_SIZE);
}
