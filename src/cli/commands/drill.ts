// cairn drill: proves that a restore point restores.

import type { ClusterDrillReport, DrillReport, DrillSettings } from "../../operations/drill/types.ts";
import { allValues, lastValue } from "../command-line.ts";
import { jobsFlag, jobsOf, outputFlags, referenceArgument, referenceOf, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE, EXIT_FAILED, EXIT_INCOMPLETE } from "../exit-status.ts";
import { renderDrill } from "../output/drill.ts";
import { repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

const STATUSES = { passed: EXIT_DONE, partial: EXIT_INCOMPLETE, failed: EXIT_FAILED } as const;

export const drill: Verb<DrillSettings, DrillReport | ClusterDrillReport> = {
  name: "drill",
  description:
    "Restores a restore point whole into a throwaway server of the source's major version, compares everything by content " +
    "(rows, sequences, large objects, constraints, indexes, each entry of the table of contents), measures the time, and " +
    "marks the restore point. Of a whole server, its roles and tablespaces and each database. Exit status 1 when anything is missing or different, 3 when something could not be compared.",
  arguments: [referenceArgument],
  flags: [
    {
      long: "on",
      value: "SERVER",
      description: "a server that has what the database needs: a database is made there, and dropped at the end",
    },
    {
      long: "assert",
      value: "SQL",
      description: "a query of the restored data that must give one row, true; may be repeated",
    },
    { long: "evidence", value: "FOLDER", description: "write what was found there, as JSON and as a page" },
    jobsFlag,
    {
      long: "pg-dump",
      value: "PROGRAM",
      description: "the pg_dump that writes the restored database's table of contents, best of the backup's version",
    },
    ...repositoryFlags,
    ...outputFlags,
  ],
  examples: [
    "cairn drill latest --repo /backups --evidence /var/lib/cairn/drills",
    "cairn drill shop@host@latest --repo /backups --assert 'SELECT count(*) > 1000 FROM orders'",
    "cairn drill latest --repo /backups --on postgresql://postgres@test-server/postgres",
  ],
  readSettings: (line, caller) => ({
    repository: repositoryOf(line, caller),
    reference: referenceOf(line),
    on: lastValue(line, "on"),
    assertions: allValues(line, "assert"),
    evidence: lastValue(line, "evidence"),
    jobs: jobsOf(line),
    pgDump: lastValue(line, "pg-dump"),
  }),
  run: async (context, settings) => (await import("../../operations/drill/index.ts")).runDrill(context, settings),
  render: renderDrill,
  exitStatus: ({ outcome }) => STATUSES[outcome],
};
