import { expect, test } from "vitest";

import type { Finding } from "./types.ts";
import { orderFindings } from "./order-findings.ts";

const finding = (severity: Finding["severity"], code: string): Finding => ({ severity, code, message: code });

test("orderFindings() puts the worst first, and the holes of the bundled pg_dump last", () => {
  const mixed = [
    finding("info", "pg-dump-outdated"),
    finding("ok", "a"),
    finding("info", "b"),
    finding("blocking", "c"),
    finding("warning", "d"),
    finding("blocking", "e"),
  ];
  expect(orderFindings(mixed).map(({ code }) => code)).toEqual(["c", "e", "d", "b", "a", "pg-dump-outdated"]);
});

test("orderFindings() leaves the holes of an installed pg_dump among the warnings", () => {
  const mixed = [finding("info", "a"), finding("warning", "pg-dump-outdated"), finding("blocking", "b")];
  expect(orderFindings(mixed).map(({ code }) => code)).toEqual(["b", "pg-dump-outdated", "a"]);
});
