// Comparing a restored database with what it was restored from.

export { compareContents, type CompareContentsOptions, type ContentComparison } from "./compare-contents.ts";
export type { TableComparison } from "./compare-tables.ts";
export { compareTocs, type TocComparison, type WordingReference } from "./compare-toc.ts";
export { entryName, type Difference, type Excused, type NotCompared } from "./difference.ts";
