// cairn coverage: what exists on a server and is in no backup.

import type { CoverageReport, CoverageSettings } from "../../operations/coverage/types.ts";
import { allValues } from "../command-line.ts";
import { outputFlags, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE, EXIT_INCOMPLETE } from "../exit-status.ts";
import { renderCoverage } from "../output/coverage.ts";
import { repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

export const coverage: Verb<CoverageSettings, CoverageReport> = {
  name: "coverage",
  description:
    "Holds what exists on a server now against the newest restore points of its databases: databases without any backup, " +
    "tables, sequences and large objects that are in none. Exit status 3 when there are some. Changes nothing.",
  arguments: [
    {
      name: "SERVER",
      description: "any database of the server: URI, key=value string or name, completed by the PG* variables",
      isRequired: false,
    },
  ],
  flags: [
    {
      long: "exclude-database",
      value: "PATTERN",
      description: "not these databases (psql's patterns): they need no backup; may be repeated",
    },
    ...repositoryFlags,
    ...outputFlags,
  ],
  ownsLetterH: true,
  examples: ["cairn coverage postgresql://backup@host --repo /backups --exclude-database 'scratch_*'"],
  readSettings: (line, caller) => ({
    source: line.arguments[0],
    repository: repositoryOf(line, caller),
    excludedDatabases: allValues(line, "exclude-database"),
  }),
  run: async (context, settings) => (await import("../../operations/coverage/index.ts")).runCoverage(context, settings),
  render: renderCoverage,
  exitStatus: ({ isComplete }) => (isComplete ? EXIT_DONE : EXIT_INCOMPLETE),
};
