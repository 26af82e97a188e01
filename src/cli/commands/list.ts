// cairn list: the restore points of a repository.

import type { ListResult, ListSettings } from "../../operations/list/types.ts";
import { outputFlags, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE } from "../exit-status.ts";
import { renderList } from "../output/list.ts";
import { repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

export const list: Verb<ListSettings, ListResult> = {
  name: "list",
  description: "Lists the restore points of a repository, newest first, and what runs that broke off have left behind.",
  arguments: [{ name: "LINEAGE", description: "only the restore points of this lineage", isRequired: false }],
  flags: [...repositoryFlags, ...outputFlags],
  examples: ["cairn list --repo /backups", "cairn list shop@host --repo /backups --json"],
  readSettings: (line, caller) => ({ repository: repositoryOf(line, caller), lineage: line.arguments[0] ?? null }),
  run: async (context, settings) => (await import("../../operations/list/index.ts")).runList(context, settings),
  render: renderList,
  exitStatus: () => EXIT_DONE,
};
