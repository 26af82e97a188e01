// cairn doctor: what would stop a backup, and the cure.

import type { DoctorReport, DoctorSettings } from "../../operations/doctor/types.ts";
import { lastValue } from "../command-line.ts";
import { outputFlags, pgDumpFlag, repositoryFlags, sourceArgument } from "../common-flags.ts";
import { EXIT_DONE, EXIT_FAILED } from "../exit-status.ts";
import { renderDoctor } from "../output/doctor.ts";
import { optionalRepository } from "../repository-access.ts";
import { selectionFlagSpecs, selectionOf } from "../selection-flags.ts";
import type { FlagSpec, Verb } from "../verb.ts";

const ownFlags: readonly FlagSpec[] = [pgDumpFlag, ...repositoryFlags, ...outputFlags];

export const doctor: Verb<DoctorSettings, DoctorReport> = {
  name: "doctor",
  description:
    "Looks at everything that a backup needs, and changes nothing: server and pg_dump, privileges on every table, " +
    "sequence and large object, row security, poolers, free space. Each finding comes with its cure. Exit status 1 when " +
    "a backup would fail or be incomplete.",
  arguments: [sourceArgument],
  flags: [...ownFlags, ...selectionFlagSpecs(ownFlags)],
  ownsLetterH: true,
  examples: ["cairn doctor postgresql://backup@host/shop", "cairn doctor shop --repo /backups -n public"],
  readSettings: (line, caller) => ({
    source: line.arguments[0],
    selection: selectionOf(line, ownFlags),
    pgDump: lastValue(line, "pg-dump"),
    repository: optionalRepository(line, caller),
  }),
  run: async (context, settings) => (await import("../../operations/doctor/index.ts")).runDoctor(context, settings),
  render: renderDoctor,
  exitStatus: ({ isReady }) => (isReady ? EXIT_DONE : EXIT_FAILED),
};
