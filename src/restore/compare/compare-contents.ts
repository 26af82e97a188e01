// Compares what a restored database holds with its archive: rows, sequences, constraints, indexes, large objects. Sessions
// read with the settings that the data was read with, so that equal rows are equal text.

import type { ArchiveContents } from "../../archive/index.ts";
import type { Session } from "../../postgres/index.ts";
import type { ConnectTarget } from "../session.ts";
import { readSessionDefaults, sessionStatements } from "../session-settings.ts";
import { compareConstraints, compareIndexes, compareSequences } from "./compare-catalog.ts";
import { compareLargeObjects } from "./compare-large-objects.ts";
import { compareTables, type TableComparison } from "./compare-tables.ts";
import type { Difference, NotCompared } from "./difference.ts";
import { withExtensionConditions } from "./extension-rows.ts";
import { groupTables } from "./table-groups.ts";

/** As pg_dump sets them, and what the readers of a backup add. */
const READ_SETTINGS = [
  "SET DATESTYLE = ISO",
  "SET INTERVALSTYLE = POSTGRES",
  "SET extra_float_digits TO 3",
  "SET TimeZone TO 'UTC'",
  "SET bytea_output TO hex",
  "SET application_name TO 'cairn drill'",
];

export interface CompareContentsOptions {
  readonly contents: ArchiveContents;
  /** Opens a session to the restored database. */
  readonly connect: ConnectTarget;
  /** Tables compared side by side. */
  readonly jobs: number;
  /** Further settings that the data was read with, e.g. another extra_float_digits. */
  readonly settings: readonly string[];
  readonly signal: AbortSignal;
  readonly onStep?: (step: "rows" | "sequences, constraints and indexes" | "large objects") => void;
  readonly onTable?: (table: TableComparison, groupCount: number) => void;
}

/** What was compared and what came out. */
export interface ContentComparison {
  readonly tables: readonly TableComparison[];
  readonly sequenceCount: number;
  readonly constraintCount: number;
  readonly indexCount: number;
  readonly largeObjectCount: number;
  readonly differences: readonly Difference[];
  readonly notCompared: readonly NotCompared[];
}

/** Compares everything but the table of contents. Throws what ended the comparison as a whole. */
export async function compareContents(options: CompareContentsOptions): Promise<ContentComparison> {
  const { contents, signal } = options;
  const { groups, notCompared } = groupTables(contents.toc);
  const sessions: Session[] = [];
  try {
    const count = Math.max(1, Math.min(options.jobs, groups.length));
    while (sessions.length < count) sessions.push(await openReadingSession(options));
    options.onStep?.("rows");
    const onTable = (table: TableComparison): void => options.onTable?.(table, groups.length);
    const session = sessions[0]!;
    const conditioned = await withExtensionConditions(groups, session, signal);
    const rows = await compareTables({ contents, groups: conditioned, sessions, signal, onTable });
    options.onStep?.("sequences, constraints and indexes");
    const sequences = await compareSequences(session, contents.toc, signal);
    const constraints = await compareConstraints(session, contents.toc, signal);
    const indexes = await compareIndexes(session, contents.toc, signal);
    options.onStep?.("large objects");
    const largeObjects = await compareLargeObjects(contents, session, signal);
    return {
      tables: rows.tables,
      sequenceCount: sequences.comparedCount,
      constraintCount: constraints.comparedCount,
      indexCount: indexes.comparedCount,
      largeObjectCount: largeObjects.comparedCount,
      differences: [rows, sequences, constraints, indexes, largeObjects].flatMap(({ differences }) => differences),
      notCompared,
    };
  } finally {
    await Promise.all(sessions.map((session) => session.close()));
  }
}

async function openReadingSession({ contents, connect, settings, signal }: CompareContentsOptions): Promise<Session> {
  const { toc } = contents;
  const session = await connect(null, signal);
  try {
    const statements = sessionStatements(readSessionDefaults(toc), {}, session.serverVersion.number);
    for (const statement of [...statements, ...READ_SETTINGS, ...settings]) {
      await session.query(statement, { signal });
      // From here on the server reads and writes the archive's encoding.
      if (statement.startsWith("SET client_encoding")) session.textEncoding = toc.textEncoding;
    }
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}
