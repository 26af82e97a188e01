// The commands, in the order of the help text. Each is loaded only when it is called: the start stays short.

import type { AnyVerb } from "./verb.ts";

/** A command before it is loaded. */
export interface VerbEntry {
  readonly name: string;
  /** A short sentence. */
  readonly summary: string;
  readonly group: string;
  load(): Promise<AnyVerb>;
}

const BACK_UP = "Back up:";
const LOOK = "Look:";
const GET_BACK = "Get it back:";
const LOOK_AFTER = "Look after the repository:";

/** All commands. */
export const VERBS: readonly VerbEntry[] = [
  {
    name: "init",
    summary: "Make a new repository, encrypted unless you say otherwise.",
    group: BACK_UP,
    load: async () => (await import("./commands/init.ts")).init,
  },
  {
    name: "doctor",
    summary: "Say what would stop a backup, and the exact cure. Changes nothing.",
    group: BACK_UP,
    load: async () => (await import("./commands/doctor.ts")).doctor,
  },
  {
    name: "backup",
    summary: "Take a restore point of a database into a repository.",
    group: BACK_UP,
    load: async () => (await import("./commands/backup.ts")).backup,
  },
  {
    name: "dump",
    summary: "Write one archive for pg_restore, checked by reading it back. No repository.",
    group: BACK_UP,
    load: async () => (await import("./commands/dump.ts")).dump,
  },
  {
    name: "import",
    summary: "Make a restore point of an archive that pg_dump wrote.",
    group: BACK_UP,
    load: async () => (await import("./commands/import.ts")).importVerb,
  },
  {
    name: "list",
    summary: "List the restore points of a repository, newest first.",
    group: LOOK,
    load: async () => (await import("./commands/list.ts")).list,
  },
  {
    name: "show",
    summary: "Show what is in a restore point: tables, rows, sizes, definitions.",
    group: LOOK,
    load: async () => (await import("./commands/show.ts")).show,
  },
  {
    name: "diff",
    summary: "Show what changed between two restore points: definitions, rows, segments.",
    group: LOOK,
    load: async () => (await import("./commands/diff.ts")).diff,
  },
  {
    name: "coverage",
    summary: "Name what exists on a server and is in no backup.",
    group: LOOK,
    load: async () => (await import("./commands/coverage.ts")).coverage,
  },
  {
    name: "verify",
    summary: "Read back and authenticate every byte of a restore point.",
    group: LOOK,
    load: async () => (await import("./commands/verify.ts")).verify,
  },
  {
    name: "drill",
    summary: "Restore it whole into a throwaway server, and compare everything by content.",
    group: LOOK,
    load: async () => (await import("./commands/drill.ts")).drill,
  },
  {
    name: "restore",
    summary: "Restore all of a restore point, or one table of it beside the original.",
    group: GET_BACK,
    load: async () => (await import("./commands/restore.ts")).restore,
  },
  {
    name: "export",
    summary: "Write a restore point out as an archive that the stock pg_restore reads.",
    group: GET_BACK,
    load: async () => (await import("./commands/export.ts")).exportVerb,
  },
  {
    name: "copy",
    summary: "Copy restore points into another repository.",
    group: LOOK_AFTER,
    load: async () => (await import("./commands/copy.ts")).copy,
  },
  {
    name: "check",
    summary: "Check that everything is there and fits; read a part of the data if asked.",
    group: LOOK_AFTER,
    load: async () => (await import("./commands/check.ts")).check,
  },
  {
    name: "expire",
    summary: "Remove restore points by rules; never the last good one.",
    group: LOOK_AFTER,
    load: async () => (await import("./commands/expire.ts")).expire,
  },
  {
    name: "prune",
    summary: "Give the space of expired restore points and broken runs back.",
    group: LOOK_AFTER,
    load: async () => (await import("./commands/prune.ts")).prune,
  },
  {
    name: "hold",
    summary: "Keep a restore point whatever the rules say.",
    group: LOOK_AFTER,
    load: async () => (await import("./commands/hold.ts")).hold,
  },
  {
    name: "release",
    summary: "Let the rules decide on a held restore point again.",
    group: LOOK_AFTER,
    load: async () => (await import("./commands/release.ts")).release,
  },
  {
    name: "key",
    summary: "List, add and remove what opens a repository; put a new data key into use.",
    group: LOOK_AFTER,
    load: async () => (await import("./commands/key.ts")).key,
  },
  {
    name: "storage",
    summary: "Try every right that a repository's storage must give.",
    group: LOOK_AFTER,
    load: async () => (await import("./commands/storage.ts")).storage,
  },
];
