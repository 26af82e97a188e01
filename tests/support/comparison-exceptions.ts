import type { ComparisonException } from "./compare.ts";
import type { Major } from "./server-packages.ts";
export function officialExceptions(_: { sourceMajor: Major; targetMajor: Major; toolsMajor: Major }): ComparisonException[] {
  return [];
}
