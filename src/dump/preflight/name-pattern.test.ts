import { expect, test } from "vitest";

import { patternToRegexes } from "./name-pattern.ts";

test.each([
  ["orders", ["^(orders)$"]],
  ["Sales.Orders", ["^(sales)$", "^(orders)$"]],
  ['"Sales"."Q*"', ["^(Sales)$", "^(Q\\*)$"]],
  ["o*.x?", ["^(o.*)$", "^(x.)$"]],
  ['a"b.C""d"e', ['^(ab\\.C"de)$']],
  ["a$b", ["^(a\\$b)$"]],
  ["(a|b)[0-9]+", ["^((a|b)[0-9]+)$"]],
  ["int[]", ["^(int\\[])$"]],
  ["shop.public.t", ["^(shop)$", "^(public)$", "^(t)$"]],
  ['"😀"', ["^(😀)$"]],
])("patternToRegexes(%j)", (pattern, regexes) => {
  expect(patternToRegexes(pattern)).toEqual(regexes);
});
