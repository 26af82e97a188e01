// Which adaptations a restore makes when a newer pg_dump than the server's wrote the archive.

import { expect } from "vitest";

import type { Major } from "../support/servers.ts";
import type { DatabaseName } from "./support.ts";

/** What a restore into the same server changes of a database, where pg_dump is newer than the server. */
export function expectedAdaptations(name: DatabaseName, major: Major, pgDump: Major): RegExp[] {
  const expected: RegExp[] = [];
  if (major < 15 && pgDump >= 15) expected.push(/^SCHEMA public: REVOKE CREATE ON SCHEMA public FROM PUBLIC;$/);
  if (name !== "torture") return expected;
  if (major < 18 && pgDump >= 18) expected.push(/^TABLE .*: (CONSTRAINT .* )?NOT NULL /s);
  if (major < 16 && pgDump >= 16) expected.push(/^SUBSCRIPTION torture_sub: run_as_owner = true$/);
  if (major < 14 && pgDump >= 18) expected.push(/^SUBSCRIPTION torture_sub: streaming = off$/);
  return expected;
}

/** Each adaptation is one that is expected, and each that is expected was made. */
export function expectAdaptations(adaptations: readonly string[], expected: readonly RegExp[]): void {
  expect(adaptations.filter((text) => !expected.some((pattern) => pattern.test(text)))).toEqual([]);
  for (const pattern of expected) expect(adaptations).toContainEqual(expect.stringMatching(pattern));
}
