// What a comparison of a restored database with its archive says. Names and definitions only, never row data.

import type { TocEntry } from "../../archive/index.ts";

/** What kind of thing is missing or different. */
export type DifferenceKind =
  | "rows"
  | "sequence"
  | "large object"
  | "constraint"
  | "index"
  /** An entry of the table of contents. */
  | "entry";

/** Something that is not in the restored database as it is in the archive. */
export interface Difference {
  readonly kind: DifferenceKind;
  /** E.g. `table "public"."orders"`, `INDEX public.orders_pkey`. */
  readonly name: string;
  /** What is wrong with it, the rest of a sentence: "is missing", "has 99 rows, not 100". */
  readonly what: string;
  /** Definitions of both sides where there are any; null where there is none. */
  readonly expected?: string | null;
  readonly found?: string | null;
}

/** A difference that PostgreSQL's own tools make, by name and exact. */
export interface Excused {
  readonly name: string;
  readonly reason: string;
}

/** Something that was not compared, and why. */
export interface NotCompared {
  readonly name: string;
  readonly reason: string;
}

/** An entry's kind and name, for people. */
export function entryName({ description, namespace, tag }: TocEntry): string {
  return `${description} ${namespace === null || namespace === "" ? "" : `${namespace}.`}${tag}`;
}
