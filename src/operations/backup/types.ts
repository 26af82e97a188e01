// What backup is given and gives.

import type { GlobalsFacts } from "../globals-facts.ts";
import type { ServerPlace } from "../../postgres/index.ts";
import type { RepositoryAccess } from "../operation.ts";
import type { TakenOverFacts } from "../take-over.ts";
import type { DeltaChoice, DeltaCounts } from "./delta-bases.ts";
import type { DropFinding, DropLimits } from "./drops.ts";
import type { ReadingFacts, ReadingSettings } from "./incremental/types.ts";

export interface BackupSettings {
  readonly source: string | undefined;
  /** The database, whichever the source names; left out: the source's. */
  readonly database?: string | undefined;
  /** The server that was met before, so that a list of hosts or a name with several addresses leads to the same. */
  readonly server?: ServerPlace | undefined;
  readonly repository: RepositoryAccess;
  /** Null: database@host. */
  readonly lineage: string | null;
  readonly jobs: number | null;
  readonly tags: Readonly<Record<string, string>>;
  /** "zstd:LEVEL" or "none"; null: zstd:3. */
  readonly compression: string | null;
  readonly pgDump: string | null;
  readonly selection: readonly string[];
  /** Where changed chunks are stored as deltas of the parent's; left out: "auto". */
  readonly deltas?: DeltaChoice | undefined;
  /** What comes along of the server's roles and tablespaces; left out: "with passwords". */
  readonly globals?: GlobalsChoice | undefined;
  /** How much less than before is a finding; left out: more than 50 % of the whole, more than 90 % of a table. */
  readonly dropLimits?: DropLimits | undefined;
  /** What is read and what may be taken over without being read; left out: the defaults. */
  readonly reading?: ReadingSettings | undefined;
}

/** Roles and tablespaces that a database needs: with the roles' passwords, without them, or none of it. */
export type GlobalsChoice = "with passwords" | "without passwords" | "none";

export interface BackupReceipt {
  readonly id: string;
  readonly lineage: string;
  readonly parentId: string | null;
  readonly repository: string;
  readonly source: string;
  readonly databaseName: string;
  readonly serverVersion: string;
  readonly pgDump: { readonly version: string; readonly path: string | null };
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly snapshotTakenAt: string;
  readonly durationMs: number;
  readonly entryCount: number;
  readonly tableCount: number;
  readonly rowCount: number;
  readonly largeObjectCount: number;
  readonly rawBytes: number;
  /** Sealed bytes that the restore point refers to, and those of them that this run stored. */
  readonly sealedBytes: number;
  readonly newBytes: number;
  readonly reusedBytes: number;
  /** What of the reused bytes an earlier run stored that broke off; null or left out: nothing. */
  readonly takenOver?: TakenOverFacts | null;
  /** What was stored as deltas of the parent's chunks, and what was read back of these. */
  readonly deltas: Readonly<DeltaCounts>;
  /** What was read of the database, and what was taken over from the parent without being read. */
  readonly reading: ReadingFacts;
  /** Roles and tablespaces that came along; null: none. */
  readonly globals: GlobalsFacts | null;
  /** Far less than before: what has to be looked at. They stand among the warnings too. */
  readonly findings: readonly DropFinding[];
  readonly warnings: readonly string[];
}
