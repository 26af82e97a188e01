// What an archive says of its database as a whole: CREATE DATABASE and the owner; settings, privileges, comment. They are
// sent apart from the contents, because a database's name stands in a catalog that all databases share, and their
// encodings may differ: it is created with the bytes that the name has, where a conversion would make another name of it.

import type { Toc, TocEntry } from "../../archive/index.ts";
import { messageOf } from "../../base/errors.ts";
import { ServerError, type Session } from "../../postgres/index.ts";
import { planRestore, type RestoreTask } from "../../restore/index.ts";

/** Entries whose tag says what kind of object they are of. */
const TAGGED: ReadonlySet<string> = new Set(["ACL", "COMMENT", "SECURITY LABEL"]);

/** What has to be sent, in order. */
export interface DatabaseEntries {
  readonly create: readonly RestoreTask[];
  /** Settings, privileges, comment: for a session in the database itself. */
  readonly properties: readonly RestoreTask[];
  readonly adaptations: readonly string[];
}

export interface EntryOutcome {
  readonly doneCount: number;
  readonly failed: readonly { readonly dumpId: number; readonly description: string; readonly error: string }[];
}

/** Databases that initdb makes: they are there, and get their settings all the same. */
export function isOnEveryServer(databaseName: string): boolean {
  return databaseName === "postgres" || databaseName === "template1";
}

/** The entries as a target of that version takes them. */
export function planDatabaseEntries(toc: Toc, targetVersion: number): DatabaseEntries {
  const plan = planRestore(toc, { create: true }, { version: targetVersion });
  const tasks = plan.serial.filter(({ entry, isWanted }) => {
    return isWanted && isOfDatabase(entry);
  });
  const ids = new Set(tasks.map(({ entry }) => entry.dumpId));
  return {
    create: tasks.filter(({ entry }) => entry.description === "DATABASE"),
    properties: tasks.filter(({ entry }) => entry.description !== "DATABASE"),
    adaptations: plan.adaptations
      .filter(({ dumpId }) => ids.has(dumpId))
      .map(({ description, tag, change }) => `${description} ${tag}: ${change}`),
  };
}

/** Its own tag is free text: a table may be named "DATABASE x". */
function isOfDatabase({ description, tag }: TocEntry): boolean {
  return description.startsWith("DATABASE") || (TAGGED.has(description) && tag.startsWith("DATABASE "));
}

/** Creates the database, from a session in another one. Throws what the server says. */
export async function createDatabase(
  session: Session,
  { toc, tasks }: { readonly toc: Toc; readonly tasks: readonly RestoreTask[] },
  signal: AbortSignal,
): Promise<void> {
  const encoding = session.connection.parameters.get("server_encoding") ?? "UTF8";
  await session.query(`SET client_encoding TO '${encoding}'`, { signal });
  session.textEncoding = toc.textEncoding;
  for (const { sql } of tasks.flatMap(({ statements }) => statements)) await session.query(sql, { signal });
}

/** Sends the rest; what fails is in the outcome. */
export async function applyProperties(
  session: Session,
  { toc, tasks }: { readonly toc: Toc; readonly tasks: readonly RestoreTask[] },
  signal: AbortSignal,
): Promise<EntryOutcome> {
  const encoding = toc.entries.find(({ description }) => description === "ENCODING");
  if (encoding !== undefined) await session.query(encoding.definition, { signal });
  session.textEncoding = toc.textEncoding;
  const failed: EntryOutcome["failed"][number][] = [];
  for (const { entry, statements } of tasks) {
    try {
      for (const { sql } of statements) await session.query(sql, { signal });
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      await session.query("RESET SESSION AUTHORIZATION", { signal });
      failed.push({ dumpId: entry.dumpId, description: entry.description, error: messageOf(error) });
    }
  }
  return { doneCount: tasks.length - failed.length, failed };
}
