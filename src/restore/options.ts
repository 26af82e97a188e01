// What a restore is asked to do: pg_restore's options as one typed record, and the combinations that make no sense.
// Files are not read here: `useList` and `filter` hold the text of the file.
// Source: pg_restore.c (18), main.

import { OperatingError } from "../base/errors.ts";

/** pg_restore's --section values. */
export type RestoreSection = "pre-data" | "data" | "post-data";

/** pg_restore's options, named after them. Everything left out is off. */
export interface RestoreOptions {
  /** -t: names of tables, views, sequences; exact, without schema. */
  readonly tables?: readonly string[];
  /** -n */
  readonly schemas?: readonly string[];
  /** -N */
  readonly excludeSchemas?: readonly string[];
  /** -I */
  readonly indexes?: readonly string[];
  /** -P: name with argument types, as the list prints it. */
  readonly functions?: readonly string[];
  /** -T: tag of a TRIGGER entry. */
  readonly triggers?: readonly string[];
  readonly sections?: readonly RestoreSection[];
  readonly schemaOnly?: boolean;
  readonly dataOnly?: boolean;
  readonly statisticsOnly?: boolean;
  readonly statistics?: boolean;
  readonly noSchema?: boolean;
  readonly noData?: boolean;
  readonly noStatistics?: boolean;
  /** -L: the text of the list. */
  readonly useList?: string;
  /** --filter: the text of the file. */
  readonly filter?: string;
  readonly strictNames?: boolean;
  readonly noOwner?: boolean;
  readonly noAcl?: boolean;
  readonly noComments?: boolean;
  readonly noPolicies?: boolean;
  readonly noPublications?: boolean;
  readonly noSecurityLabels?: boolean;
  readonly noSubscriptions?: boolean;
  readonly noTablespaces?: boolean;
  readonly noTableAccessMethod?: boolean;
  readonly clean?: boolean;
  readonly ifExists?: boolean;
  readonly create?: boolean;
  readonly singleTransaction?: boolean;
  /** Commit after every so many objects. */
  readonly transactionSize?: number;
  readonly exitOnError?: boolean;
  readonly noDataForFailedTables?: boolean;
  readonly disableTriggers?: boolean;
  /** -S: the user who disables triggers. */
  readonly superuser?: string;
  readonly enableRowSecurity?: boolean;
  readonly role?: string;
  readonly useSetSessionAuthorization?: boolean;
  /** -j; 1 when left out. */
  readonly jobs?: number;
}

/** Connections that one restore may hold at most. */
export const RESTORE_JOBS_MAX = 64;

/** Which components of entries are wanted. */
export interface WantedComponents {
  readonly schema: boolean;
  readonly data: boolean;
  readonly statistics: boolean;
}

/** The components that -s, -a, --no-data and their kin leave. */
export function wantedComponents(options: RestoreOptions): WantedComponents {
  const { schemaOnly, dataOnly, statisticsOnly } = options;
  return {
    data: ((!schemaOnly && !statisticsOnly) || dataOnly === true) && !options.noData,
    schema: ((!dataOnly && !statisticsOnly) || schemaOnly === true) && !options.noSchema,
    statistics:
      ((!schemaOnly && !dataOnly) || statisticsOnly === true || options.statistics === true) && !options.noStatistics,
  };
}

const CONFLICTS: readonly (readonly [keyof RestoreOptions, keyof RestoreOptions])[] = [
  ["schemaOnly", "dataOnly"],
  ["schemaOnly", "statisticsOnly"],
  ["dataOnly", "statisticsOnly"],
  ["dataOnly", "noData"],
  ["schemaOnly", "noSchema"],
  ["statisticsOnly", "noStatistics"],
  ["statistics", "noStatistics"],
  ["dataOnly", "statistics"],
  ["schemaOnly", "statistics"],
  ["clean", "dataOnly"],
  ["singleTransaction", "transactionSize"],
  ["create", "singleTransaction"],
];

function flagOf(option: string): string {
  if (option === "dataOnly") return "-a/--data-only";
  if (option === "schemaOnly") return "-s/--schema-only";
  if (option === "clean") return "-c/--clean";
  if (option === "create") return "-C/--create";
  if (option === "singleTransaction") return "-1/--single-transaction";
  return `--${option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Throws OperatingError "usage" for combinations that pg_restore refuses. */
export function checkRestoreOptions(options: RestoreOptions): void {
  for (const [one, other] of CONFLICTS) {
    if (options[one] && options[other]) {
      throw new OperatingError("usage", `options ${flagOf(one)} and ${flagOf(other)} cannot be used together`);
    }
  }
  const jobs = options.jobs ?? 1;
  if (!Number.isSafeInteger(jobs) || jobs < 1 || jobs > RESTORE_JOBS_MAX) {
    throw new OperatingError("usage", `--jobs must be from 1 to ${RESTORE_JOBS_MAX}, not ${jobs}`);
  }
  if (options.singleTransaction && jobs > 1) {
    throw new OperatingError("usage", "cannot specify both --single-transaction and multiple jobs");
  }
  if (options.ifExists && !options.clean) {
    throw new OperatingError("usage", "option --if-exists requires option -c/--clean");
  }
  const size = options.transactionSize;
  if (size !== undefined && (!Number.isSafeInteger(size) || size < 1)) {
    throw new OperatingError("usage", `--transaction-size must be 1 or more, not ${size}`);
  }
}

/** True when the first error ends the run: asked for, or implied by one transaction or by transactions of a size. */
export function stopsAtFirstError(options: RestoreOptions): boolean {
  return options.exitOnError === true || options.singleTransaction === true || options.transactionSize !== undefined;
}
