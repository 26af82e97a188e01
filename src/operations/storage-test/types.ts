// What storage test is given and gives.

import type { RepositoryAccess } from "../operation.ts";

export interface StorageTestSettings {
  readonly location: Pick<RepositoryAccess, "location" | "storage">;
  /** True: only what restore, list and verify need. */
  readonly isReadOnly: boolean;
}

/** One thing that was tried. */
export interface StorageCheck {
  /** "write an object": what was tried, for people. */
  readonly name: string;
  /** "not tried": something before it failed on which it depends. */
  readonly status: "ok" | "failed" | "not tried";
  readonly durationMs: number;
  /** What went wrong; null when nothing did. */
  readonly message: string | null;
  readonly detail: string | null;
  /** The cure. */
  readonly hint: string | null;
}

export interface StorageTestReport {
  /** Where it is, without secrets. */
  readonly location: string;
  readonly isReadOnly: boolean;
  /** True when everything that was to be tried went well. */
  readonly isFit: boolean;
  readonly checks: readonly StorageCheck[];
}
