// What show is given and gives.

import type { ClusterFacts } from "../../repository/index.ts";
import type { GlobalsFacts } from "../globals-facts.ts";
import type { RepositoryAccess } from "../operation.ts";
import type { ListedRestorePoint } from "../list/types.ts";

export interface ShowSettings {
  readonly repository: RepositoryAccess;
  /** ID, prefix, latest, LINEAGE@latest, LINEAGE@TIME. */
  readonly reference: string;
  readonly what: "summary" | "list" | "schema" | "globals";
  /** For "schema": only these tables. */
  readonly tables: readonly string[];
}

/** An archive of pg_dump in place of a restore point. */
export interface ShowFileSettings extends Pick<ShowSettings, "what" | "tables"> {
  readonly file: string;
}

export type ShowResult =
  | {
      readonly what: "summary";
      readonly restorePoint: ListedRestorePoint;
      readonly pgDump: string;
      readonly options: readonly string[];
      readonly warnings: readonly string[];
      readonly tables: readonly {
        readonly name: string;
        readonly rowCount: number;
        readonly rawBytes: number;
        readonly sealedBytes: number;
      }[];
      readonly largeObjectCount: number;
      readonly globals: GlobalsFacts | null;
      /** Of a cluster restore point: what it names; null: it is one database's. */
      readonly cluster: ClusterFacts | null;
    }
  /** Text as pg_restore --list prints it. */
  | { readonly what: "list"; readonly text: string }
  /** SQL of the definitions. */
  | { readonly what: "schema"; readonly text: string }
  /** Roles, memberships and tablespaces as `pg_dumpall --globals-only` writes them; holds password hashes. */
  | { readonly what: "globals"; readonly text: string };
